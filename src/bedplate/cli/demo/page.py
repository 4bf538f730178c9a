"""The demo's page for a person at a terminal."""

from __future__ import annotations

from bedplate.cli.demo.business import CUSTOMERS, MONTHS
from bedplate.cli.demo.plot import bars, plot
from bedplate.cli.demo.story import Told
from bedplate.cli.output import table


def page(told: Told) -> str:
    """Return the page: what was done, what was killed when, and what the recount found."""
    return "\n".join(
        [
            *_balances(told),
            "",
            *_accounts(told),
            "",
            *_verdict(told),
            "",
            *_naive(told),
            "",
            *_business(told),
            "",
            f"{told.seconds:g} s in all; the server and its data are gone.",
        ]
    )


def _balances(told: Told) -> list[str]:
    moves = told.recount.moves
    # What opens the accounts lies before the first charge; the plot begins shortly before that.
    start = next(at for at, amount in moves if amount < 0)
    seconds = max((moves[-1][0] - start).total_seconds(), 0.1)
    marks = [(each.at - start).total_seconds() for each in told.happenings]
    drawn = plot([((at - start).total_seconds(), amount) for at, amount in moves], seconds, marks)
    return [
        f"Credits of all accounts over time, from history (PostgreSQL {told.recount.postgres})",
        "",
        *drawn,
        "",
        *(
            f"  {number}  {mark:4.1f} s  {each.text}"
            for number, (mark, each) in enumerate(zip(marks, told.happenings, strict=True), start=1)
        ),
    ]


def _accounts(told: Told) -> list[str]:
    rows: list[tuple[object, ...]] = [("user", "granted", "charged", "refunded", "left")]
    rows += [
        (
            told.people.get(each.user_id, str(each.user_id)),
            *(f"{value:,}" for value in (each.granted, each.charged, each.refunded)),
            f"{each.remaining:,}",
        )
        for each in told.recount.accounts
    ]
    return table(rows).splitlines()


def _verdict(told: Told) -> list[str]:
    found = told.recount
    rows = [
        ("charges acknowledged to clients", f"{found.acknowledged:,}"),
        ("charges in history", f"{found.recorded:,}"),
        ("answers given once more to the same keys", f"{told.replayed:,}"),
        ("of all answers, changed", f"{found.changed:,}"),
        ("requests refused for lack of credits", f"{found.refused:,}"),
        ("balances minus history, in credits", f"{found.balance_delta:,}"),
        (f"broken laws, of {found.checks} checks", f"{len(found.broken):,}"),
    ]
    end = "ok: nothing is missing, and nothing was charged twice." if found.ok else "NOT OK."
    return [*table(rows).splitlines(), *found.broken, end]


def _naive(told: Told) -> list[str]:
    charged, deducted = told.naive_charged, told.naive_deducted
    return [
        "The plan's own deductCredits (read, check, write) under the same load, nothing killed:",
        *table(
            [
                ("  credits charged by its history", f"{charged:,}"),
                ("  credits really deducted", f"{deducted:,}"),
                ("  given away", f"{charged - deducted:,}"),
            ]
        ).splitlines(),
    ]


def _business(told: Told) -> list[str]:
    found = told.business
    rows = [
        (f"invoices, {CUSTOMERS} customers in {MONTHS} months", f"{found.invoices:,}"),
        ("periods of a template without an invoice, or with two", f"{found.missing:,}"),
        ("numbers of every day without a gap", "yes" if found.numbers_gap_free else "NO"),
        ("days to be billed when a worker was killed (SIGKILL)", f"{found.unbilled_at_kill:,}"),
        ("payments on invoices", f"{found.payments:,}"),
        ("second tries to spend a payment, refused", f"{found.refused:,}"),
        ("received, and allocated to invoices", f"{found.received:,} / {found.allocated:,}"),
        ("invoices overdue at the end", f"{found.overdue:,}"),
    ]
    months = [(f"{each.month:%Y-%m}", int(each.kept), int(each.billed)) for each in found.revenue]
    end = "ok: every month is billed once." if found.ok else "NOT OK."
    return [
        "Half a year of invoices, month by month: # paid in it, . billed in it and not paid yet.",
        "Nobody worked in April; May caught it up.",
        "",
        *bars(months),
        "",
        *table(rows).splitlines(),
        end,
    ]
