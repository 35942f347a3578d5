"""The commands of the contract parties: bill, statement, trace, carbon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quartet.arguments import data_folder, output_folder, parse_controller, parse_languages, refuse
from quartet.options import DataOption, JsonOption, SiteArgument

settlement = typer.Typer(rich_markup_mode="rich")

MonthOption = Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Billing month, site time.")]
ContractOption = Annotated[
    Path, typer.Option("--contract", metavar="FILE", help="The contract as YAML; docs/statements.md has its fields.")
]
RecordedOption = Annotated[
    Path | None,
    typer.Option("--recorded", metavar="FILE", help="The utility's own bill as CSV, to be compared line by line."),
]
InventoryOption = Annotated[
    Path | None,
    typer.Option("--inventory", metavar="FILE", help="Certificates, quota and production lines as YAML."),
]
SimulateOption = Annotated[
    str | None,
    typer.Option(
        "--simulate",
        metavar="rules|none",
        help="Simulate meters that the data lacks, under simple local control or with stores idle; it is marked so.",
    ),
]


@settlement.command()
def bill(
    site: SiteArgument,
    month: MonthOption,
    data: DataOption = None,
    recorded: RecordedOption = None,
    simulate: SimulateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bill a month from its meters, line by line, with the part of every tenant.

    Ends with 1 when a recorded bill is given and a line differs by more than 0.01.

    Example: [bold]quartet bill jiashan_park --month 2026-07 --simulate rules[/bold]
    """
    from quartet.settling import bill_document, settled_month
    from quartet.show import show_bill
    from site_configs.loader import load_site

    settled = settled_month(load_site(site), data_folder(site, data), month, parse_controller(simulate))
    document = bill_document(settled, recorded)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_bill(document)
    if document.comparison is not None and not document.comparison.agrees:
        raise typer.Exit(1)


@settlement.command()
def statement(
    site: SiteArgument,
    contract: ContractOption,
    month: MonthOption,
    data: DataOption = None,
    lang: Annotated[str, typer.Option("--lang", metavar="zh|en|both", help="Language of PDF and HTML.")] = "both",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where JSON, CSV, PDF and HTML of the revision go.")
    ] = None,
    recorded: RecordedOption = None,
    inventory: InventoryOption = None,
    simulate: SimulateOption = None,
    as_json: JsonOption = False,
) -> None:
    """State what a month's measures saved and who is paid what: JSON, CSV, PDF and HTML of a numbered revision.

    Made again from the same inputs it is the same revision with the same hash; other inputs make the next one, in which
    the lines of the one before are taken back in red.

    Example: [bold]quartet statement jiashan_park --contract contract.yaml --month 2026-07 --simulate rules[/bold]
    """
    from quartet.show import show_statement
    from quartet.statements import latest, make_statement, order_of, pages_of, write_statement
    from site_configs.loader import load_site

    languages = parse_languages(lang)
    park, folder = load_site(site), None if out is None else output_folder(out)
    order = order_of(park, data_folder(site, data), contract, month, parse_controller(simulate), inventory, recorded)
    previous = None if folder is None else latest(folder, park.id, month)
    made = make_statement(order, previous, folder)
    files = () if folder is None else write_statement(folder, made, pages_of(made, languages))
    if as_json:
        print(made.model_dump_json(indent=2))
    else:
        show_statement(made, files)


@settlement.command()
def trace(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Id of a line in the JSON of a bill or statement.")],
    site: SiteArgument,
    data: DataOption = None,
    contract: Annotated[
        Path | None,
        typer.Option("--contract", metavar="FILE", help="For lines of a statement: stream/..., payment/..."),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", metavar="FILE", help="The engine's ledger, for plans and setpoints.")
    ] = None,
    statements: Annotated[
        Path | None,
        typer.Option("--statements", metavar="DIR", help="Earlier months, where the contract carries them forward."),
    ] = None,
    simulate: SimulateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is behind a line: its meter rows and, with a ledger, the plans and setpoints of those intervals.

    Example: [bold]quartet trace main/purchase/sharp/20260630T1600Z jiashan_park --simulate rules[/bold]
    """
    from quartet.settling import settled_month
    from quartet.show import show_trace
    from quartet.statements import order_of
    from quartet.tracing import month_of, trace_of_bill, trace_of_statement
    from site_configs.loader import load_site

    park, folder, controller = load_site(site), data_folder(site, data), parse_controller(simulate)
    month = month_of(line, park.zone)
    if line.startswith(("stream/", "payment/")):
        if contract is None:
            refuse("--contract", "nothing", f"{line} is a line of a statement: give the contract's file")
        order = order_of(park, folder, contract, month, controller)
        document = trace_of_statement(order, line, ledger, statements)
    else:
        document = trace_of_bill(settled_month(park, folder, month, controller), line, ledger)
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_trace(document, park)


@settlement.command()
def carbon(
    site: SiteArgument,
    month: MonthOption,
    data: DataOption = None,
    inventory: InventoryOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the exports go: CSV by standard, and JSON.")
    ] = None,
    simulate: SimulateOption = None,
    as_json: JsonOption = False,
) -> None:
    """State a month's emissions by meter, location-based and market-based, with exports for other frames.

    Example: [bold]quartet carbon jiashan_park --month 2026-07 --simulate rules[/bold]
    """
    from quartet.carbon_report import carbon_month, carbon_report, write_exports
    from quartet.show import show_carbon
    from settlement.certificates import CarbonInventory, read_inventory
    from site_configs.loader import load_site

    held = CarbonInventory() if inventory is None else read_inventory(inventory)
    settled = carbon_month(load_site(site), data_folder(site, data), month, parse_controller(simulate), held)
    report = carbon_report(settled, held)
    if out is not None:
        write_exports(output_folder(out), settled, report, held)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        show_carbon(report)
