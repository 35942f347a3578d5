"""A statement as one page of sections, in one language; HTML and PDF are made of the same page.

Every figure of a table may lead to the rows behind it: `Cell.link` names the anchor of a section or table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quartet.statement_figures import bands_png, bridge_png, lines_png
from quartet.statement_words import (
    ATTRIBUTIONS,
    BANDS,
    COMPONENTS,
    COUNTERFACTUALS,
    GATES,
    GRADES,
    KINDS,
    METHOD,
    METHODS,
    PAYMENTS,
    RULES,
    Lang,
    word,
)
from settlement.bill import MAIN
from settlement.documents import BillLineDocument
from settlement.statement import ComparedBillLine, Gate, PaymentLine, Statement, StreamLine

ROWS = "rows"
"""Anchor of the table of days."""


@dataclass(frozen=True)
class Cell:
    """Text in a table."""

    text: str
    link: str = ""
    """Anchor of the rows behind it."""
    anchor: str = ""
    """Name of its row, where it is the first of one that others lead to."""
    red: bool = False


@dataclass(frozen=True)
class Table:
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    widths: Sequence[int]
    """Relative."""
    numbers: int
    """So many columns at the right are figures."""
    anchor: str = ""
    total: bool = False
    """Whether the last row is a total."""


@dataclass(frozen=True)
class Picture:
    png: bytes
    title: str


@dataclass(frozen=True)
class Section:
    title: str
    parts: Sequence[str | Table | Picture]
    """Paragraphs are text."""
    red: bool = False


@dataclass(frozen=True)
class Card:
    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    lang: Lang
    title: str
    subtitle: str
    grade: str
    facts: Sequence[tuple[str, str]]
    cards: Sequence[Card]
    claims: Sequence[str]
    sections: Sequence[Section]
    signatures: Sequence[tuple[str, str]]
    """(role, name)."""
    footer: str


def page_of(statement: Statement, lang: Lang) -> Page:
    """The whole statement in one language."""
    data = statement.data
    say = _Say(lang)
    name = say(data.name_zh, data.name_en)
    return Page(
        lang=lang,
        title=word(KINDS, data.contract.kind, lang),
        subtitle=f"{name} · {data.month}",
        grade=word(GRADES, data.grade, lang),
        facts=_facts(statement, say),
        cards=_cards(statement, say),
        claims=_claims(statement, say),
        sections=[*_red(statement, say), *_sections(statement, say)],
        signatures=[
            (say("业主（盖章）", "Owner (seal)"), say(data.contract.owner.zh, data.contract.owner.en)),
            (say("节能服务公司（盖章）", "ESCO (seal)"), say(data.contract.esco.zh, data.contract.esco.en)),
        ],
        footer=f"{data.contract.number} · {data.month} · r{statement.revision} · sha256 {statement.result_sha256[:16]}",
    )


class _Say:
    """Chooses the words of the language."""

    def __init__(self, lang: Lang) -> None:
        self.lang = lang

    def __call__(self, zh: str, en: str) -> str:
        return en if self.lang == "en" else zh


def money(value: Decimal) -> str:
    return f"{value:,.2f}"


def percent(share: Decimal | float) -> str:
    return f"{share:.2%}"


def _facts(statement: Statement, say: _Say) -> list[tuple[str, str]]:
    data, contract = statement.data, statement.data.contract
    current = next(year for year in contract.years if year.current)
    return [
        (say("合同编号", "Contract"), contract.number),
        (say("业主", "Owner"), say(contract.owner.zh, contract.owner.en)),
        (say("节能服务公司", "ESCO"), say(contract.esco.zh, contract.esco.en)),
        (
            say("结算月份", "Month"),
            f"{data.month} ({say(f'合同第 {current.year} 年', f'contract year {current.year}')})",
        ),
        (say("反事实", "Counterfactual"), word(COUNTERFACTUALS, contract.counterfactual, say.lang)),
        (say("分摊方法", "Attribution"), word(ATTRIBUTIONS, contract.attribution, say.lang)),
        (say("版本", "Revision"), _revision(statement, say)),
        (say("状态", "Status"), word(GRADES, data.grade, say.lang)),
    ]


def _revision(statement: Statement, say: _Say) -> str:
    if statement.supersedes is None:
        return f"{statement.revision}"
    return f"{statement.revision} ({say('取代', 'replaces')} sha256 {statement.supersedes[:16]})"


def _cards(statement: Statement, say: _Say) -> list[Card]:
    totals, currency = statement.data.totals, statement.data.currency
    interval = ""
    if totals.saving_lower is not None and totals.saving_upper is not None:
        between = f"{money(totals.saving_lower)} - {money(totals.saving_upper)}"
        interval = f"{between} ({totals.confidence:.0%})"
    tax = say(f"其中增值税 {money(totals.payable_esco_tax)}", f"of it VAT {money(totals.payable_esco_tax)}")
    return [
        Card(say(f"反事实费用 ({currency})", f"counterfactual cost ({currency})"), money(totals.cost_counterfactual)),
        Card(say(f"实际费用 ({currency})", f"actual cost ({currency})"), money(totals.cost_actual)),
        Card(say(f"核定节能效益 ({currency})", f"verified saving ({currency})"), money(totals.saving), interval),
        Card(
            say(f"应付节能服务公司 ({currency})", f"payable to the ESCO ({currency})"), money(totals.payable_esco), tax
        ),
    ]


def _claims(statement: Statement, say: _Say) -> list[str]:
    """Only what the lower bound bears: the highest of the rates it is above."""
    data = statement.data
    if not data.claims:
        return []
    rate, sure = max(data.claims), f"{data.totals.confidence:.0%}"
    return [
        say(
            f"节约超过 {rate:.0%}（{sure} 置信下限之上）",
            f"saves more than {rate:.0%} (lower bound at {sure} confidence)",
        )
    ]


def _red(statement: Statement, say: _Say) -> list[Section]:
    if not statement.red_lines:
        return []
    rows = [
        [
            Cell(word(PAYMENTS, line.kind, say.lang), red=True),
            Cell(line.item, red=True),
            *(Cell(money(value), red=True) for value in (line.amount, line.esco, line.owner, line.lessor)),
        ]
        for line in statement.red_lines
    ]
    note = say(
        f"本版取代上一版，上一版各行在此冲销；节能服务公司应得差额 {money(statement.esco_difference)}。",
        f"This revision replaces the one before, whose lines are taken back here; the ESCO gets "
        f"{money(statement.esco_difference)} more.",
    )
    heads = _payment_heads(say)[:6]
    return [
        Section(say("红字冲销", "Lines taken back (red)"), [note, Table(heads, rows, (3, 3, 2, 2, 2, 2), 4)], red=True)
    ]


def _sections(statement: Statement, say: _Say) -> list[Section]:
    data = statement.data
    return [
        Section(say("一图看懂", "In pictures"), _pictures(statement, say)),
        Section(say("措施与效益", "Measures and savings"), [_streams(data.streams, say)]),
        Section(say("应付款项", "Payments"), [_payments(statement, say), _tax_line(statement, say)]),
        Section(say("账单对比", "Both bills, line by line"), [_comparison(statement, say)]),
        Section(say("实际账单明细", "The actual bill"), [_bill(statement, say)]),
        Section(say("碳排放", "Carbon"), _carbon(statement, say)),
        Section(say("数据质量", "Data quality"), _quality(statement, say)),
        Section(say("合同逐年", "The contract, year by year"), _years(statement, say)),
        Section(say("方法", "Method"), [say(zh, en) for zh, en in METHOD]),
        Section(
            say("逐日电量（账单行所依据的表计数据）", "Energy by day: the meter rows behind the bill"),
            [_days(statement, say)],
        ),
        Section(say("凭证", "Evidence"), _hashes(statement, say)),
    ]


def _pictures(statement: Statement, say: _Say) -> list[str | Table | Picture]:
    data, lang = statement.data, say.lang
    return [
        Picture(bridge_png(data, lang), say("从反事实费用到实际费用", "From counterfactual to actual cost")),
        Picture(bands_png(data, lang), say("逐日购电量", "Energy bought by day")),
        Picture(lines_png(data, lang), say("各账单项的节约", "Saving by component of the bill")),
    ]


def _streams(streams: Iterable[StreamLine], say: _Say) -> Table:
    heads = [
        say("措施", "stream"), say("无此措施购电 (kWh)", "kWh without it"), say("效益", "saving"),
        say("不确定度 ±", "uncertainty ±"), say("分享比例", "ESCO share"), say("节能公司", "ESCO"),
        say("业主", "owner"),
    ]  # fmt: skip
    rows = [
        [
            Cell(say(line.name_zh, line.name_en)),
            Cell(f"{line.kwh_cf:,.0f}"),
            Cell(money(line.saving_cny), ROWS),
            Cell("-" if line.half_width_cny is None else money(line.half_width_cny)),
            Cell("-" if line.share_esco is None else f"{line.share_esco:.0%}"),
            Cell(money(line.payable_esco)),
            Cell(money(line.payable_owner)),
        ]
        for line in streams
    ]
    return Table(heads, rows, (4, 3, 3, 3, 2, 3, 3), 6)


def _payment_heads(say: _Say) -> list[str]:
    return [
        say("类别", "kind"), say("项目", "item"), say("金额", "amount"), say("节能公司", "ESCO"), say("业主", "owner"),
        say("出租方", "lessor"), say("计算", "basis"),
    ]  # fmt: skip


def _payments(statement: Statement, say: _Say) -> Table:
    names = {line.stream: say(line.name_zh, line.name_en) for line in statement.data.streams}

    def row(line: PaymentLine) -> list[Cell]:
        values = (line.amount, line.esco, line.owner, line.lessor)
        item = names.get(line.item) or say(line.item_zh or line.item, line.item)
        texts = (word(PAYMENTS, line.kind, say.lang), item, line.basis)
        return [*(Cell(text) for text in texts), *(Cell(money(value), red=value < 0) for value in values)]

    heads = _payment_heads(say)
    rows = [row(line) for line in statement.data.payments]
    return Table([*heads[:2], heads[6], *heads[2:6]], rows, (3, 4, 4, 3, 3, 3, 2), 4)


def _tax_line(statement: Statement, say: _Say) -> str:
    totals, contract = statement.data.totals, statement.data.contract
    net, tax, gross = (money(x) for x in (totals.payable_esco_net, totals.payable_esco_tax, totals.payable_esco))
    carried = ""
    if totals.carried_in or totals.carried_out:
        into, out = money(totals.carried_in), money(totals.carried_out)
        carried = say(f" 上月结转 {into}，结转下月 {out}。", f" Carried in {into}, carried to the next month {out}.")
    days = contract.dispute_days
    return say(
        f"应付节能服务公司 {gross}：不含税 {net}，增值税（{totals.tax_rate:.0%}）{tax}。异议期 {days} 天。{carried}",
        f"Payable to the ESCO {gross}: net {net}, VAT at {totals.tax_rate:.0%} {tax}. "
        f"Objections within {days} days.{carried}",
    )


def _comparison(statement: Statement, say: _Say) -> Table:
    lines, totals = statement.data.comparison, statement.data.totals
    heads = [
        say("项目", "line"), say("时段", "band"), say("反事实数量", "quantity before"),
        say("实际数量", "actual quantity"), say("反事实费用", "fee before"), say("实际费用", "actual fee"),
        say("节约", "saving"),
    ]  # fmt: skip
    rows = [_compared_row(line, say) for line in lines]
    sums = [
        sum((getattr(x, name) for x in lines), Decimal(0)) for name in ("fee_counterfactual", "fee_actual", "saving")
    ]
    if totals.adjustments:
        adjusted = [Cell(say("非例行调整", "non-routine adjustments")), *[Cell("")] * 3]
        rows.append([*adjusted, Cell(money(totals.adjustments)), Cell(""), Cell(money(totals.adjustments))])
        sums[0], sums[2] = sums[0] + totals.adjustments, sums[2] + totals.adjustments
    rows.append([Cell(say("合计", "total")), *[Cell("")] * 3, *(Cell(money(value)) for value in sums)])
    return Table(heads, rows, (5, 2, 3, 3, 3, 3, 3), 5, total=True)


def _compared_row(line: ComparedBillLine, say: _Say) -> list[Cell]:
    return [
        Cell(_line_name(line.account, line.component, say)),
        Cell(word(BANDS, line.band, say.lang)),
        Cell(f"{line.quantity_counterfactual:,.1f} {line.unit}"),
        Cell(f"{line.quantity_actual:,.1f} {line.unit}", _anchor(line.band)),
        Cell(money(line.fee_counterfactual)),
        Cell(money(line.fee_actual), f"bill-{line.id}" if line.id else ""),
        Cell(money(line.saving), red=line.saving < 0),
    ]


def _line_name(account: str, component: str, say: _Say) -> str:
    name = word(COMPONENTS, component, say.lang)
    return name if account == MAIN else f"{account}: {name}"


def _anchor(band: str) -> str:
    return ROWS if band else ""


def _bill(statement: Statement, say: _Say) -> Table:
    heads = [
        say("项目", "line"), say("时段", "band"), say("电价文件", "tariff document"), say("数量", "quantity"),
        say("单价", "price"), say("金额", "fee"),
    ]  # fmt: skip
    data = statement.data
    rows = [_bill_row(line, say) for line in data.bill]
    total = sum((line.fee for line in data.bill), Decimal(0))
    rows.append([Cell(say("电费合计", "total")), *[Cell("")] * 4, Cell(money(total))])
    rows += [_bill_row(line, say) for line in data.export_lines]
    return Table(heads, rows, (5, 2, 8, 4, 3, 3), 3, anchor="bill")


def _bill_row(line: BillLineDocument, say: _Say) -> list[Cell]:
    version = f" ({line.version})" if line.version else ""
    return [
        Cell(_line_name(line.account, line.component, say), anchor=f"bill-{line.id}"),
        Cell(word(BANDS, line.band, say.lang)),
        Cell(f"{line.document}{version}"),
        Cell(f"{line.quantity:,.2f} {line.unit}", _anchor(line.band)),
        Cell(f"{line.price.normalize():f}"),
        Cell(money(line.fee), ROWS, red=line.fee < 0),
    ]


def _carbon(statement: Statement, say: _Say) -> list[str | Table | Picture]:
    carbon = statement.data.carbon
    heads = [
        say("表计", "meter"), say("范围", "scope"), say("方法", "method"), say("计算", "formula"),
        say("因子来源", "factor"), say("吨 CO2", "t CO2"),
    ]  # fmt: skip
    rows = [
        [
            Cell(line.meter), Cell(str(line.scope)), Cell(word(METHODS, line.method, say.lang)), Cell(line.formula),
            Cell(f"{line.document} ({line.data_year})"), Cell(f"{line.kg / 1000:,.3f}"),
        ]
        for line in carbon.lines
    ]  # fmt: skip
    location, market, avoided = (
        f"{kg / 1000:,.3f}" for kg in (carbon.location_kg, carbon.market_kg, carbon.avoided_kg)
    )
    text = say(
        f"范围一与二合计：基于位置 {location} 吨，基于市场 {market} 吨。相对反事实减少 {avoided} 吨（基于位置）。",
        f"Scopes 1 and 2: {location} t location-based, {market} t market-based. {avoided} t avoided against the "
        "counterfactual (location-based).",
    )
    return [Table(heads, rows, (4, 2, 3, 7, 5, 3), 1), text]


def _quality(statement: Statement, say: _Say) -> list[str | Table | Picture]:
    quality, gates = statement.data.quality, statement.data.gates
    substituted = sum(column.substituted for column in quality.columns)
    parts: list[str | Table | Picture] = [
        Table(
            [say("条件", "condition"), say("数值", "value"), say("限值", "limit"), say("结果", "result")],
            [_gate_row(gate, say) for gate in gates],
            (6, 3, 3, 3),
            3,
        ),
        say(
            f"表计完整率最低 {quality.coverage:.2%}；替代值 {substituted} 个。",
            f"Lowest coverage {quality.coverage:.2%}; {substituted} values substituted.",
        ),
    ]
    if quality.simulated:
        parts.append(word(GRADES, "example", say.lang))
    parts.append(_meters(statement, say))
    if quality.gaps:
        heads = [
            say("表计", "meter"),
            say("规则", "rule"),
            say("从", "from"),
            say("至", "to"),
            say("区间数", "intervals"),
        ]
        rows = [
            [
                Cell(gap.column), Cell(word(RULES, gap.rule, say.lang)), Cell(f"{gap.start:%Y-%m-%d %H:%MZ}"),
                Cell(f"{gap.end:%Y-%m-%d %H:%MZ}"), Cell(str(gap.intervals)),
            ]
            for gap in quality.gaps
        ]  # fmt: skip
        parts.append(Table(heads, rows, (4, 4, 4, 4, 2), 1))
    return parts


def _meters(statement: Statement, say: _Say) -> Table:
    """Every meter with what the contract says of it and what it counted."""
    told = {meter["column"]: meter for meter in statement.data.contract.meters}
    heads = [
        say("表计", "meter"), say("表号", "serial"), say("准确度", "class"), say("倍率", "multiplier"),
        say("完整率", "coverage"), say("替代", "substituted"), "kWh",
    ]  # fmt: skip
    rows = [
        [
            Cell(column.column),
            *(Cell(told.get(column.column, {}).get(name, "-")) for name in ("serial", "accuracy", "multiplier")),
            Cell(f"{column.coverage:.2%}"),
            Cell(str(column.substituted)),
            Cell("-" if column.energy_kwh is None else f"{column.energy_kwh:,.2f}"),
        ]
        for column in statement.data.quality.columns
    ]
    return Table(heads, rows, (5, 3, 2, 3, 3, 3, 4), 4)


def _gate_row(gate: Gate, say: _Say) -> list[Cell]:
    plain = gate.name in ("tariff_assumed_lines", "coarse_demand_lines")
    values = [
        "-" if value is None else (f"{value:.0f}" if plain else f"{value:.2%}") for value in (gate.value, gate.limit)
    ]
    results = {None: say("待定", "open"), True: say("满足", "met"), False: say("未满足", "not met")}
    return [
        Cell(word(GATES, gate.name, say.lang)),
        *(Cell(value) for value in values),
        Cell(results[gate.passed], red=gate.passed is False),
    ]


def _years(statement: Statement, say: _Say) -> list[str | Table | Picture]:
    data, contract = statement.data, statement.data.contract
    names = {line.stream: say(line.name_zh, line.name_en) for line in data.streams}
    shared = list(dict.fromkeys(name for year in contract.years for name in year.esco_share))
    heads = [say("年", "year"), say("从", "from"), say("至", "to"), *(names.get(name, name) for name in shared)]
    rows = [
        [
            Cell(f"{year.year}{' ◀' if year.current else ''}"), Cell(str(year.first)), Cell(str(year.last)),
            *(Cell(f"{year.esco_share[name]:.0%}" if name in year.esco_share else "-") for name in shared),
        ]
        for year in contract.years
    ]  # fmt: skip
    assets = ", ".join(contract.transfer_assets) or "-"
    transfer = say(
        f"合同期满 ({contract.end}) 资产移交业主，价款 {money(contract.transfer_price)}：{assets}。",
        f"At the end ({contract.end}) the assets pass to the owner for {money(contract.transfer_price)}: {assets}.",
    )
    kept = say(f"合同期满 ({contract.end})，资产不移交。", f"At the end ({contract.end}) no assets pass.")
    title = say("各年节能服务公司分享比例：", "The ESCO's share of each stream:") if shared else ""
    table = Table(heads, rows, (2, 3, 3, *(3 for _ in shared)), len(shared))
    return [*([title] if title else []), table, transfer if contract.transfer_to == "owner" else kept]


def _days(statement: Statement, say: _Say) -> Table:
    days = statement.data.days
    bands = list(dict.fromkeys(band for day in days for band in day.kwh))
    heads = [
        say("日期", "day"), *(f"{word(BANDS, band, say.lang)} (kWh)" for band in bands),
        say("购电 (kWh)", "bought (kWh)"), say("反事实 (kWh)", "counterfactual (kWh)"),
    ]  # fmt: skip
    table = [
        [day.day.isoformat(), *(day.kwh.get(band, Decimal(0)) for band in bands), sum(day.kwh.values(), Decimal(0)),
         day.kwh_counterfactual]
        for day in days
    ]  # fmt: skip
    sums = [sum((Decimal(str(row[n])) for row in table), Decimal(0)) for n in range(1, len(heads))]
    rows = [[Cell(str(row[0])), *(Cell(f"{value:,.2f}") for value in row[1:])] for row in table]
    rows.append([Cell(say("合计", "total")), *(Cell(f"{value:,.2f}") for value in sums)])
    return Table(heads, rows, (3, *(3 for _ in heads[1:])), len(heads) - 1, anchor=ROWS, total=True)


def _hashes(statement: Statement, say: _Say) -> list[str | Table | Picture]:
    """Those of the meters, one each, stand in the JSON."""
    inputs = sorted((name, value) for name, value in statement.data.inputs.items() if "." not in name)
    inputs += [(say("全部输入（含各表计数据）", "all inputs, every meter's rows with them"), statement.input_sha256)]
    inputs += [(say("结果数据", "result data"), statement.result_sha256)]
    text = say(
        "任何一行都可用 quartet trace 追溯到表计、计划与指令；同样的输入在任何一天重算得到同样的结果摘要。",
        "quartet trace leads from any line to meter, plan and setpoint rows; the same inputs give the same hash on any "
        "day.",
    )
    rows = [[Cell(name), Cell(value)] for name, value in inputs]
    return [text, Table([say("内容", "content"), "SHA-256"], rows, (5, 9), 0)]
