"""The report's fixed sentences in Chinese, by their English form: what `said.tell`, `said.brief` and `said.said` name. One dictionary, `SENTENCES`.

Places in braces are the same in both; `<code>` marks what a reader types. A test holds that every form that is named is here, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    # the first page and the frame of all
    "Made {at} from recorded facts. Counts, names and rules only: no cell values.": "{at} 依据记录事实生成。只有计数、名称和规则，不含任何数据值。",
    "{tables} tables of {departments} departments; open incidents: {incidents}; to look at: {concerns}.": (
        "{departments} 个部门的 {tables} 张表；未结事件 {incidents} 起；待处理 {concerns} 项。"
    ),
    "Of 100: the mean share of rows that meet the rules of that dimension, each rule of each newest verdict once. – : no rule speaks of it. "
    "Names after GB/T 36344-2018; uniqueness is an indicator of accuracy there.": (
        "百分制：满足该维度规则的行所占比例的平均值，每个最新裁定的每条规则计一次。–：无规则涉及。"
        "名称依据 GB/T 36344-2018；唯一性在该标准中属于准确性指标。"
    ),
    "and {n} more": "另有 {n} 项",
    "and {n} more, on the pages of their departments": "另有 {n} 项，见各部门页面",
    "and {n} more on {page}": "另有 {n} 项，见{page}",
    "and {n} more: <code>gov incident list</code> has all.": "另有 {n} 起：<code>gov incident list</code> 列出全部。",
    # departments
    "{tables} datasets; open incidents: {incidents}. Each point is one {step}.": (
        "{tables} 个数据集；未结事件 {incidents} 起。图中每点为一{step}。"
    ),
    "{tables} curated tables; open incidents: {incidents}. Each point is one {step}.": (
        "{tables} 张主题表；未结事件 {incidents} 起。图中每点为一{step}。"
    ),
    # incidents
    "{open} open, {closed} closed so far. One opens when an expectation fails and closes when a validation of the same table meets it again; those "
    "that stop come first, then the longest open. Reaches: tables downstream of the failing column, by the lineage of now.": (
        "未结 {open} 起，已结 {closed} 起。期望不满足时立案，同一表的校验再次满足时结案；先列停止批次的，再按未结时间从长到短。"
        "影响：按当前血缘，位于不满足列下游的表。"
    ),
    "Give one to somebody: <code>gov incident assign NUMBER --to user:… --as user:…</code>": (
        "指派给某人：<code>gov incident assign NUMBER --to user:… --as user:…</code>"
    ),
    # providers
    "Whose data is late, or getting worse: one line a source system of a department, the worst first. Each point is one {step}.": (
        "谁的数据迟到或变差：部门的每个源系统一行，最差的在前。图中每点为一{step}。"
    ),
    "over its newest {steps} steps (at least {fewest}) the share of passed rows falls: Theil-Sen's slope comes to {points} point or more, and "
    "Mann-Kendall's one-sided test is significant at 5 %": (
        "最近 {steps} 期（至少 {fewest} 期）通过率下降：Theil-Sen 斜率累计达 {points} 个百分点或更多，且 Mann-Kendall 单侧检验在 5 % 水平显著"
    ),
    "by the same two tests the median hours between the end of a window and its landing grow by {hours} or more": (
        "按同样两项检验，窗口结束至到达的小时数中位数增加 {hours} 或更多"
    ),
    "the newest observation of a dataset's freshness against its contract's service level is not met (<code>gov freshness</code>)": (
        "数据集时效对照契约服务水平的最新观察未达标（<code>gov freshness</code>）"
    ),
    "newest batches that were stopped, failed, or wait for their judgement": "最新批次已停止、失败或等待裁定",
    "never landed: {names}": "从未到达：{names}",
    # the scorecard
    "Each stage has 100 points. A rule gives the share of its points that its facts meet; a rule that has nothing to speak of yet is left out, and "
    "the stage is scored out of the others. Contracts count as they are now; everything else as it was recorded until that instant.": (
        "每个阶段满分 100。每条规则按其事实达成的比例给分；尚无可言的规则不计，该阶段按其余规则计分。契约按当前内容计；其他按截至该时刻的记录计。"
    ),
    # one table
    "the newest {shown} of {n} runs; the trends above have all": "共 {n} 次运行，显示最近 {shown} 次；上方趋势包含全部",
    "parsed + unparsed = passed + held back + rejected + duplicates, checked for every batch from two independent counts. Held back rows are in "
    "<code>{table}</code>, each with its reasons.": (
        "已解析 + 未解析 = 通过 + 隔离 + 驳回 + 重复，每个批次以两个独立计数核对。隔离的行在 <code>{table}</code> 中，每行附有原因。"
    ),
    "No rule found anything in these runs.": "这些运行中没有规则发现问题。",
    "{rules} rules, {broken} to look at": "{rules} 条规则，{broken} 条待处理",
    "errored: could not be judged, which stops a batch and is never a pass. stopped: stops a batch. held back: the rows are in quarantine. warned: let "
    "in, more than the rule allows. tolerated: no more than it allows. Times are UTC.": (
        "出错：无法裁定，停止批次，绝不算通过。已停止：停止批次。隔离：行在隔离区。警告：放行，但超过规则容许。容许：未超过规则容许。时间为 UTC。"
    ),
    "Reconciliation with the live source, service levels, drift against the history, and suites run by GX's own engine: the newest of each, and older "
    "ones that were not met.": "与源核对、服务水平、相对历史的漂移、GX 自身引擎运行的套件：各取最新一次，以及未达标的旧记录。",
    "(up to {share} % allowed)": "（容许至多 {share} %）",
    "Solid lines are where a value comes from: as it is, transformed, aggregated or masked. Dashed lines decide which rows there are.": (
        "实线表示值的来源：原样、变换、聚合或遮蔽；虚线表示决定有哪些行的条件。"
    ),
    # what needs somebody
    "{stage} failed": "{stage}失败",
    "{n} rules could not be judged": "{n} 条规则无法裁定",
    "{held} of {received} rows held back ({share} %)": "{received} 行中隔离 {held} 行（{share} %）",
    "departments contradict one another": "部门之间相互矛盾",
    "let in with warnings": "放行但有警告",
    "seen beside the verdicts: {kinds}": "裁定之外的观察：{kinds}",
    "{label}: {status}, not judged yet": "{label}：{status}，尚未裁定",
    "{label}: a stage failed": "{label}：某阶段失败",
    "{label}: not let in": "{label}：未放行",
    "unparsed lines {n}": "未解析行 {n}",
    "more rules: {n}": "其余规则 {n} 条",
    # what was seen beside the verdicts
    "could not be judged": "无法裁定",
    "{score} deviations from the median of its history, {limit} are usual": "偏离历史中位数 {score} 个偏差单位，通常不超过 {limit}",
    "{score} deviations from the median of its weekday, {limit} are usual": "偏离同星期历史中位数 {score} 个偏差单位，通常不超过 {limit}",
    "{rows} rows": "{rows} 行",
    "{n} records": "{n} 条记录",
    "at least {n} agreed": "约定至少 {n} 条",
    "at most {n} agreed": "约定至多 {n} 条",
    "{n} metrics": "{n} 项指标",
    "against {n} earlier batches": "对照 {n} 个较早批次",
    "every {period}": "每 {period}",
    "within {period}": "{period} 之内",
    "next due {at}": "下次应到 {at}",
    "newest {hours} hours after its window": "最新一批在窗口结束后 {hours} 小时到达",
    "by {engine}": "由 {engine} 运行",
    "{n} expectations": "{n} 项期望",
    "source and lake: {verdict}": "源与湖：{verdict}",
    "compared by {how}": "比较方式：{how}",
    "{n} rows in the source": "源中 {n} 行",
    "{n} landed": "已采集 {n} 行",
    "{n} in the lake": "湖中 {n} 行",
}
