"""Names of people, streets and firms, drawn for whole columns from short lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

SURNAMES = (
    *tuple("王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许邓韩冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢"),
    "欧阳",
    "司徒",
)
_MALE = tuple("伟强磊军洋勇杰涛明超刚平辉鹏华飞鑫波斌宇浩凯健俊帆龙志建国文海峰林旭阳博毅哲轩然泽睿晨晖堃喆䶮")
_FEMALE = tuple("芳娜敏静丽艳娟霞秀燕玲桂英红梅萍玉兰琳雪莉颖洁婷慧倩佳欣怡梦瑶雅诗涵妍琪蕾薇萱悦宁珊岚媛璐")
_ROADS = (
    "中山路",
    "人民路",
    "解放路",
    "建设路",
    "文明路",
    "北京路",
    "环市路",
    "东风路",
    "滨江路",
    "体育路",
    "黄埔路",
    "新港路",
    "江南路",
    "龙口路",
    "天寿路",
    "农林路",
    "德政路",
    "惠福路",
    "沿江路",
    "工业路",
)
_TRADES = (
    "贸易",
    "科技",
    "建筑工程",
    "物流",
    "餐饮管理",
    "信息技术",
    "机械设备",
    "食品",
    "服装",
    "医药",
    "文化传播",
    "电子",
    "化工",
    "环保",
    "咨询",
    "教育咨询",
)
_SHOPS = ("便利店", "小吃店", "水果店", "理发店", "五金店", "文具店", "花店", "茶庄", "服装店", "修理部")


def surnames(rng: np.random.Generator, rows: int) -> Ints:
    """Positions in SURNAMES, frequent ones more often."""
    weights = 1.0 / (np.arange(len(SURNAMES)) + 4.0)
    return rng.choice(len(SURNAMES), rows, p=weights / weights.sum())


def people(rng: np.random.Generator, family: Ints, male: npt.NDArray[np.bool_]) -> pa.StringArray:
    """Surname and one or two characters that go with the sex."""
    rows = len(family)
    first = pc.if_else(pa.array(male), pick(rng, _MALE, rows), pick(rng, _FEMALE, rows))
    second = pc.if_else(pa.array(male), pick(rng, _MALE, rows), pick(rng, _FEMALE, rows))
    second = pc.if_else(pa.array(rng.random(rows) < 0.3), pa.scalar(""), second)
    return pc.binary_join_element_wise(pa.array(SURNAMES).take(pa.array(family)), first, second, "")


def addresses(rng: np.random.Generator, counties: pa.StringArray, city: str, rows: int) -> pa.StringArray:
    """City, county, road, number and room."""
    number = pa.array(rng.integers(1, 400, rows)).cast(pa.string())
    room = pa.array(rng.integers(1, 30, rows) * 100 + rng.integers(1, 9, rows)).cast(pa.string())
    return pc.binary_join_element_wise(city, counties, pick(rng, _ROADS, rows), number, "号", room, "房", "")


def firms(rng: np.random.Generator, counties: pa.StringArray, individual: npt.NDArray[np.bool_]) -> pa.StringArray:
    """Names of companies, and of individual businesses of a county."""
    rows = len(individual)
    characters = pick(rng, _MALE[:30] + _FEMALE[:20], rows), pick(rng, _MALE[:30] + _FEMALE[:20], rows)
    company = pc.binary_join_element_wise("广州", *characters, pick(rng, _TRADES, rows), "有限公司", "")
    shop = pc.binary_join_element_wise(counties, *characters, pick(rng, _SHOPS, rows), "")
    return pc.if_else(pa.array(individual), shop, company)


def phones(rng: np.random.Generator, rows: int, missing: float = 0.15) -> pa.StringArray:
    """Mobile numbers; a share of them NULL."""
    numbers = 10_000_000_000 + rng.integers(3, 10, rows) * 10**9 + rng.integers(0, 10**9, rows)
    return pa.array(numbers, mask=rng.random(rows) < missing).cast(pa.string())


def pick(rng: np.random.Generator, words: Sequence[str], rows: int) -> pa.StringArray:
    """`rows` words drawn evenly."""
    return pa.array(words, type=pa.string()).take(pa.array(rng.integers(0, len(words), rows)))
