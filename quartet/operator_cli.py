"""`quartet operator ...`: what a person on duty orders, with name and reason; the plan takes it as given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from quartet.options import BrokerOption, JsonOption, SiteArgument

if TYPE_CHECKING:
    from streams.messages import CommandKind

operator_app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Order devices of a running site: hold, override, disable, limit, release.\n\n"
        "Every order has an end, a name and a reason; it is kept in the ledger and named in the setpoints that follow "
        "from it. It takes force with the next interval. Of two orders for one device the newer holds.\n\n"
        "Ends with 1 when the engine refuses the order or does not answer in time."
    ),
)

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="A device that takes setpoints.")]
SomeDevice = Annotated[str | None, typer.Argument(metavar="[DEVICE]", help="One device; the whole site if absent.")]
WhoOption = Annotated[str, typer.Option("--who", metavar="NAME", help="Who orders it.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why.")]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="End: ISO 8601; without an offset, the site's local time.")
]
ForOption = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="End from now, e.g. 90min, 2h.")]
WaitOption = Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the answer.")]


@operator_app.command()
def hold(
    site: SiteArgument,
    broker: BrokerOption,
    who: WhoOption,
    why: WhyOption,
    device: SomeDevice = None,
    until: UntilOption = None,
    lasting: ForOption = None,
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Hold a device, or all of them, at the last setpoint.

    Example: [bold]quartet operator hold jiashan_park --for 2h --who "Li Wei" --why "works on the feeder"[/bold]
    """
    _give(site, "hold", broker, who, why, wait, as_json, device=device, until=until, lasting=lasting)


@operator_app.command(context_settings={"ignore_unknown_options": True})
def override(
    site: SiteArgument,
    device: DeviceArgument,
    power: Annotated[float, typer.Argument(metavar="KW", help="Above 0 feeds the bus, below 0 takes from it.")],
    broker: BrokerOption,
    who: WhoOption,
    why: WhyOption,
    until: UntilOption = None,
    lasting: ForOption = None,
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Give a device its power.

    Example: [bold]quartet operator override jiashan_park battery1 -100 --for 90min --who Li --why test[/bold]
    """
    _give(
        site, "override", broker, who, why, wait, as_json, device=device, power_kw=power, until=until, lasting=lasting
    )


@operator_app.command()
def disable(
    site: SiteArgument,
    device: DeviceArgument,
    broker: BrokerOption,
    who: WhoOption,
    why: WhyOption,
    until: UntilOption = None,
    lasting: ForOption = None,
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Take a device out: it stands still, and the plan does without it.

    Example: [bold]quartet operator disable jiashan_park battery2 --until 2026-08-27T08:00 --who Li --why repair[/bold]
    """
    _give(site, "disable", broker, who, why, wait, as_json, device=device, until=until, lasting=lasting)


@operator_app.command()
def limit(
    site: SiteArgument,
    power: Annotated[float, typer.Argument(metavar="KW", min=0, help="Import that the site is to stay under.")],
    broker: BrokerOption,
    who: WhoOption,
    why: WhyOption,
    until: UntilOption = None,
    lasting: ForOption = None,
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Cap the site's import; the gateway's local loop keeps it too.

    Example: [bold]quartet operator limit jiashan_park 600 --for 4h --who Li --why "a call of the grid"[/bold]
    """
    _give(site, "limit", broker, who, why, wait, as_json, power_kw=power, until=until, lasting=lasting)


@operator_app.command()
def release(
    site: SiteArgument,
    broker: BrokerOption,
    who: WhoOption,
    why: WhyOption,
    device: Annotated[
        str | None, typer.Argument(metavar="[DEVICE]", help="One device, or import for the limit; all if absent.")
    ] = None,
    wait: WaitOption = 10.0,
    as_json: JsonOption = False,
) -> None:
    """End what was ordered, for a device, for the import, or for all.

    Example: [bold]quartet operator release jiashan_park battery1 --who Li --why "test is over"[/bold]
    """
    _give(site, "release", broker, who, why, wait, as_json, device=device)


def _give(
    site: str,
    kind: CommandKind,
    broker: str,
    who: str,
    why: str,
    wait_s: float,
    as_json: bool,
    *,
    device: str | None = None,
    power_kw: float | None = None,
    until: str | None = None,
    lasting: str | None = None,
) -> None:
    from quartet.operator import OrderDocument, end_of, give, now, order
    from quartet.show import show_order
    from site_configs.loader import load_site
    from streams.admin import wait_for_broker

    park, at = load_site(site), now()
    end = None if kind == "release" else end_of(park, at, until, lasting)
    command = order(park, kind, now=at, who=who, why=why, device=device, power_kw=power_kw, until=end)
    wait_for_broker(broker, 10.0)
    document = OrderDocument(command=command, answer=give(command, broker, wait_s))
    if as_json:
        print(document.model_dump_json(indent=2))
    else:
        show_order(document, park)
    if document.answer is None or document.answer.state == "refused":
        raise typer.Exit(1)
