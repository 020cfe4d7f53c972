"""The scorecard's rules in Chinese, by the rule's id: what it says and why it is asked for; and the units of its facts."""

from __future__ import annotations

from collections.abc import Mapping

from governance.pipeline.scorecard.rules import OLD_DAYS, Fact

SAYS: Mapping[str, tuple[str, str]] = {
    "source": ("契约写明来源", "没有来源的契约是无人能兑现的承诺"),
    "landed": ("有来源者，已有批次到达", "从未进来的数据无从治理"),
    "no_failure": ("有来源者，最近一次采集未失败", "失败之后没有更新的成功，读者看到的就是旧数据"),
    "on_time": ("约定服务水平者，最新时效观察达标", "对今天就要用的人，迟到的数据就是错的数据"),
    "stored": ("最新批次已入库并已裁定", "卡住的批次既未使用也未拒绝"),
    "parsed": ("最新批次中解析器接受的记录所占比例", "未解析的行是有而不能读的数据"),
    "conserved": ("最新批次符合守恒律", "已解析 + 未解析 = 通过 + 隔离 + 驳回 + 重复：一行不少，一行不多"),
    "encrypted": ("契约中的敏感字段在文件中全部加密", "拷走磁盘的人必须一无所得"),
    "reconciled": ("与在线源比对者，最近一次比对无遗失", "途中的遗失，只看湖中数据的人无从发现"),
    "let_in": ("最新裁定不是停止", "停止意味着读者只能看到原有的数据"),
    "rules_met": ("最新裁定的全部规则中，满足规则的行所占比例", "这就是数据本身的质量，涵盖六个维度"),
    "judgeable": ("最新裁定中，规则可以执行", "出错的规则绝不算通过"),
    "incidents": (f"已裁定者，没有超过 {OLD_DAYS} 天未结的事件", "不满足之处须有人处理，不能习以为常"),
    "stewards": ("写明数据管家", "没有负责人的事件无人了结"),
    "classified": ("已分级", "无人分级的数据按敏感处理，绝不发布"),
    "built": ("最新构建已放行", "被停止的构建使上一个快照继续有效"),
    "lineage": ("已构建者，列级血缘完整", "说不出来历的值无法负责"),
    "up_to_date": ("已构建者，比其全部输入更新", "没有重新构建的表说的是过去"),
    "agreement": ("已构建者，跨部门校验无发现的行所占比例", "两个相互矛盾的部门不可能都对"),
    "published": ("已构建者，列入生效的发布", "建好而不发布，无人受益"),
    "current": ("最新构建即已发布的构建", "读者看到的是审过的，也可能是旧的"),
    "signed": ("满一小时的条目由已签名的检查点覆盖", "没有签名的访问事后可以抵赖"),
    "reviewed": ("已结束者，已复核", "未经申请的原始访问，只有复核才能说明其正当"),
}
"""Rule id -> (says, reason). A test holds that every rule is here."""

UNITS: Mapping[str, str] = {
    "datasets": "个数据集",
    "tables": "张表",
    "curated tables": "张主题表",
    "published tables": "张已发布表",
    "contracts": "份契约",
    "rules": "条规则",
    "fields": "个字段",
    "data files": "个数据文件",
    "ledger entries": "条账目",
    "break-glasses": "次紧急访问",
}


def shown(fact: Fact) -> str:
    """A fact as `Fact.shown` has it, in Chinese.

    >>> shown(Fact(17, 18, "datasets"))
    '18 个数据集中 17'
    """
    return f"{fact.of:,.0f} {UNITS[fact.unit]}中 {fact.shown.partition(' ')[0]}"
