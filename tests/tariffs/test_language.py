"""What a tariff document may say, what it means, and what is refused where."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wattledger.tariffs import Tariff, TariffRefused, load_tariff, parse_tariff

HOME = """\
id: home
version: 1.10
name: Home
currency: GBP
zone: Europe/London
seasons: {winter: 10-01 to 03-31, summer: 04-01 to 09-30}
day_types: {weekday: mon-fri, weekend: [sat, sun]}
periods:
  peak: {days: weekday, times: 16:00-21:00}
  night: {times: 22:30-06:00}
  day: otherwise
charges:
  - name: energy
    kind: energy
    tiers: {counter: all_periods, basis: month, allocation: chronological, limits: [200], proration: none}
    price:
      winter: {peak: [0.30, 0.40], day: [0.20, 0.25], night: [0.1, 0.1]}
      summer: [0.15, 0.2]
  - {name: standing, kind: fixed, price: 0.45, per: day}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(TariffRefused) as refused:
        parse_tariff(text, source="home.yaml")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("home.yaml: ")
    return [str(fault) for fault in refused.value.faults]


def test_a_document_becomes_a_tariff() -> None:
    home = parse_tariff(HOME, source="home.yaml")
    assert (home.id, home.version, home.name, home.currency, home.zone) == (
        "home",
        "1.10",
        "Home",
        "GBP",
        "Europe/London",
    )
    assert home.period_names == ("peak", "day", "night")
    assert home.order_matters
    assert json.loads(json.dumps(home.document)) == home.document


# --- the hash says what the content is, and nothing else ---


def test_neither_form_nor_order_nor_comment_nor_zeros_change_the_hash(tmp_path: Path) -> None:
    home = parse_tariff(HOME, source="home.yaml")
    document = json.loads(json.dumps(home.document))
    in_reverse = _reversed(document)
    as_json = tmp_path / "home.json"
    as_json.write_text(json.dumps(in_reverse))
    dressed = tmp_path / "home.yaml"
    dressed.write_text(
        "# a comment\n" + HOME.replace("0.1, 0.1", "0.10, 1e-1").replace("mon-fri", "[mon, tue, wed-fri]")
    )
    for other in (load_tariff(as_json), load_tariff(dressed), Tariff.from_document(document)):
        assert other.hash == home.hash
        assert other == home
        assert other.cells == home.cells
        assert other.period_names == home.period_names


def _reversed(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


def test_numbers_in_json_are_exact_and_may_be_numbers_or_text(tmp_path: Path) -> None:
    document = {"id": "a", "version": "1", "currency": "EUR", "charges": [{"name": "e", "kind": "energy", "price": 0}]}
    hashes = set()
    for price in ("0.3", '"0.30"', "3e-1"):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(document).replace('"price": 0', f'"price": {price}'))
        hashes.add(load_tariff(path).hash)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.45", "0.451"),
        ("16:00-21:00", "16:00-20:59"),
        ("[200]", "[201]"),
        ("proration: none", "proration: days"),
        ("chronological", "pro_rata"),
        ("GBP", "EUR"),
        ("mon-fri", "mon-thu"),
        ("1.10", "1.1"),
        ("per: day", "per: month"),
    ],
)
def test_any_change_of_content_changes_the_hash(old: str, new: str) -> None:
    assert HOME.count(old) == 1
    assert parse_tariff(HOME.replace(old, new), source="x").hash != parse_tariff(HOME, source="x").hash


def test_the_hash_of_a_version_is_for_ever() -> None:
    # When this fails, every published version has got another hash: leave new clauses out of old documents instead.
    home = parse_tariff(HOME, source="x")
    assert home.hash == "2710abd777b8419e08c3da700e779d68b72bf7212b99510654a8a6aaaf5eb846"


def test_defaults_are_not_part_of_the_content() -> None:
    stated = HOME + "rounding: {line: {places: 2, mode: half_up}}\n"
    assert parse_tariff(stated, source="x").hash == parse_tariff(HOME, source="x").hash
    assert parse_tariff(stated.replace("half_up", "half_even"), source="x").hash != parse_tariff(HOME, source="x").hash


# --- YAML is read as text ---


def test_yaml_surprises_are_none() -> None:
    tariff = parse_tariff(
        "id: no\nversion: 007\ncurrency: EUR\nperiods: {on: {times: 01:00-16:00}, off: otherwise}\n"
        "charges: [{name: yes, kind: energy, price: {on: 0.1, off: 0.2}}]\n",
        source="x",
    )
    assert (tariff.id, tariff.version, tariff.period_names) == ("no", "007", ("off", "on"))
    assert tariff.energy[0].prices == ((Decimal("0.2"),), (Decimal("0.1"),))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HOME + "id: again\n", "line 20: the key 'id' stands twice in one mapping"),
        (HOME.replace("GBP", "!!python/name:os.system GBP"), "line 4: the tag tag:yaml.org,2002:python/name:os.system"),
        (HOME.replace("currency: GBP", "currency: [GBP"), "not valid YAML"),
        ("a: &a [*a]", "an alias repeats itself without end"),
        ("", "the document is empty"),
        ("- 1\n", "a mapping is expected, not a list"),
        ("? [1, 2]\n: x\n", "a key must be plain text"),
        (f"{'[' * 2000}", "not valid YAML"),
    ],
)
def test_broken_yaml_is_refused_with_its_line(text: str, fault: str) -> None:
    assert fault in faults(text)[0]


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "an alias repeats itself without end" in faults("\n".join(lines))[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"id": "a", "id": "b"}', "the key 'id' stands twice"),
        ('{\n"id": "a",\n}', "line 3: not valid JSON"),
        ('{"id": NaN}', "NaN is not a number"),
        ('{"id": ' + "[" * 5000 + "}", "nested too deeply"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(TariffRefused, match=r"a\.json") as refused:
        load_tariff(path)
    assert fault in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"id: a\nname: \xff\n")
    with pytest.raises(TariffRefused, match="line 2: is not UTF-8 text"):
        load_tariff(path)
    with pytest.raises(TariffRefused, match="cannot be read"):
        load_tariff(tmp_path / "none.yaml")


def test_a_binary_float_is_refused() -> None:
    document = {
        "id": "a",
        "version": "1",
        "currency": "EUR",
        "charges": [{"name": "e", "kind": "energy", "price": 0.1}],
    }
    with pytest.raises(TariffRefused, match="binary float is not exact"):
        parse_tariff(document, source="x")


# --- what is wrong, and where ---

ENERGY = (
    "    price:\n      winter: {peak: [0.30, 0.40], day: [0.20, 0.25], night: [0.1, 0.1]}\n      summer: [0.15, 0.2]\n"
)
TIERS = "{counter: all_periods, basis: month, allocation: chronological, limits: [200], proration: none}"
STANDING = "{name: standing, kind: fixed, price: 0.45, per: day}"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("id: home\n", "", "line 1: 'id' is missing"),
        ("version: 1.10\n", "", "'version' is missing"),
        ("currency: GBP\n", "", "'currency' is missing"),
        ("GBP", "pounds", "line 4: an ISO 4217 code such as EUR is expected, not 'pounds' at currency"),
        ("Europe/London", "Europe/Lodnon", "line 5: no time zone is called 'Europe/Lodnon'"),
        ("name: Home", "nmae: Home", "line 3: unknown key 'nmae' at nmae"),
        ("name: Home", "name: [Home]", "text is expected, not a list at name"),
        ("name: Home", "valid: {from: 2026-02-30}", "a date such as 2026-03-31 is expected, not '2026-02-30'"),
        ("name: Home", "valid: {from: 2026-02-01, to: 2026-02-01}", "must come after 'from' at valid"),
        ("name: Home", "valid: {}", "'from' or 'to' is missing at valid"),
        ("10-01 to 03-31", "10-01 to 02-28", "no season covers 02-29 to 03-31 at seasons"),
        ("10-01 to 03-31", "09-30 to 03-31", "winter and summer both cover 09-30 to 09-30 at seasons"),
        ("10-01 to 03-31", "[10-01 to 03-31, 01-01 to 01-02]", "winter has a day twice at seasons.winter"),
        ("10-01 to 03-31", "october to march", "first and last day such as '04-01 to 09-30' are expected"),
        ("10-01 to 03-31", "10-01 to 02-30", "first and last day such as"),
        ("mon-fri", "mon-fry", "weekdays such as 'mon-fri' or 'sun' are expected, not 'mon-fry' at day_types.weekday"),
        ("mon-fri", "[mon-fri, fri]", "'fri' names a weekday twice"),
        ("mon-fri", "{days: mon-fri, holidays: excluded}", "no holidays are listed"),
        ("zone: ", "holidays: [2026-12-25]\nzone: ", "no day type says whether these are 'excluded'"),
        ("zone: ", "holidays: {country: GB}\nzone: ", "clause not supported yet: holidays by country rule"),
        ("16:00-21:00", "16:00-25:00", "has no minute, or one that no day has at periods.peak.times"),
        ("16:00-21:00", "16:00-16:00", "has no minute"),
        ("16:00-21:00", "4pm-9pm", "line 9: a window such as '16:00-21:00' is expected, not '4pm-9pm'"),
        ("16:00-21:00", "16:60-21:00", "a window such as"),
        (
            "16:00-21:00",
            "[16:00-21:00, 20:00-21:30]",
            "line 8: peak covers 20:00-21:00 twice on mon, tue, wed, thu, fri at periods",
        ),
        ("16:00-21:00", "16:00-23:00", "peak and night both cover 22:30-23:00 on mon, tue, wed, thu, fri at periods"),
        (
            "day: otherwise",
            "day: {times: 06:00-16:00}",
            "no period covers 16:00-22:30 on sat, sun at periods",
        ),
        ("night: {times: 22:30-06:00}", "night: otherwise", "only one period can be 'otherwise' at periods"),
        ("days: weekday", "days: workday", "unknown day type 'workday' at periods.peak.days"),
        ("{times: 22:30-06:00}", "{seasons: autumn}", "unknown season 'autumn' at periods.night.seasons"),
        ("{times: 22:30-06:00}", "{}", "'seasons', 'days' or 'times' is missing at periods.night"),
        ("{times: 22:30-06:00}", "{hours: 22-6}", "unknown key 'hours' at periods.night.hours"),
        ("{times: 22:30-06:00}", "{events: heat}", "clause not supported yet: events at periods.night"),
        ("peak: {days", "winter: {days", "'winter' is the name of a season too at periods.winter"),
        ("charges:\n", "charges: none\nx:\n", "a list of charges is expected at charges"),
        ("    kind: energy\n", "", "'kind' is missing at charges[0]"),
        ("kind: fixed", "kind: flat", "unknown kind of charge 'flat' at charges[1].kind"),
        ("kind: fixed", "kind: demand", "line 19: clause not supported yet: demand at charges[1]"),
        ("kind: fixed", "kind: tax", "clause not supported yet: tax at charges[1]"),
        (
            STANDING,
            "{name: energy, kind: fixed, price: 1, per: day}",
            "two charges are called 'energy' at charges[1].name",
        ),
        (STANDING, "{name: standing, kind: fixed, price: 1}", "'per' is missing at charges[1]"),
        ("per: day", "per: bill", "not supported yet: bill at charges[1].per"),
        ("per: day", "per: week", "one of day, month, year is expected, not 'week' at charges[1].per"),
        ("per: day", "per: day, proration: none", "it needs no proration at charges[1].proration"),
        ("price: 0.45", "price: -0.45", "clause not supported yet: credit (a fixed charge below zero)"),
        ("price: 0.45", "price: 45p", "a number is expected, not '45p' at charges[1].price"),
        ("price: 0.45", "price: 1e400", "out of all proportion"),
        ("price: 0.45", "price: 0x10", "a number is expected"),
        ("price: 0.45", "price: inf", "a number is expected"),
        (ENERGY, "", "'price' is missing at charges[0]"),
        (
            ENERGY,
            "    price: 0.1\n",
            "2 prices are expected for winter day, one a tier; 1 are given at charges[0].price",
        ),
        ("summer: [0.15, 0.2]", "spring: [0.15, 0.2]", "unknown season 'spring' at charges[0].price.spring"),
        ("      summer: [0.15, 0.2]\n", "", "no price for season summer at charges[0].price"),
        ("day: [0.20, 0.25], ", "", "line 17: no price for period day in winter at charges[0].price.winter"),
        ("day: [0.20", "dya: [0.20", "unknown period 'dya' at charges[0].price.winter.dya"),
        ("[0.30, 0.40]", "[0.30, dear]", "a number is expected, not 'dear' at charges[0].price.winter.peak[1]"),
        ("counter: all_periods, ", "", "'counter' is missing at charges[0].tiers"),
        ("counter: all_periods", "counter: per_channel", "not supported yet: per_channel at charges[0].tiers.counter"),
        ("basis: month", "basis: year", "not supported yet: year at charges[0].tiers.basis"),
        ("basis: month", "basis: day", "a daily basis is for the days of the bill"),
        ("allocation: chronological", "allocation: slab_by_total", "not supported yet: slab_by_total"),
        (
            ", proration: none",
            "",
            "'proration' is missing: are a month's limits cut by 'days' in a short bill, or 'none'?",
        ),
        (
            ", proration: none",
            ", proration: none, rounding: up",
            "clause not supported yet: rounding at charges[0].tiers",
        ),
        ("[200]", "[-200]", "limits must be above zero, each higher than the one before at charges[0].tiers.limits"),
        ("[200]", "[200, 200]", "limits must be above zero"),
        (f"    tiers: {TIERS}\n", "", "several prices need 'tiers' at charges[0].price.winter.peak"),
        ("kind: energy\n", "kind: energy\n    channel: export\n", "clause not supported yet: channel at charges[0]"),
        ("zone: ", "taxes: []\nzone: ", "clause not supported yet: taxes"),
        ("zone: ", "rounding: {tax: {places: 2}}\nzone: ", "clause not supported yet: tax at rounding"),
        ("zone: ", "rounding: {line: {places: 7}}\nzone: ", "a whole number from 0 to 6 is expected, not 7"),
        (
            "zone: ",
            "rounding: {line: {mode: nearest}}\nzone: ",
            "one of half_up, half_even, half_down, up, down is expected",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_its_clause_and_its_cause(old: str, new: str, fault: str) -> None:
    assert old in HOME
    found = faults(HOME.replace(old, new, 1))
    assert any(fault in one for one in found), found


def test_all_faults_are_told_at_once() -> None:
    text = HOME.replace("GBP", "pounds").replace("mon-fri", "mon-fry").replace("kind: fixed", "kind: demand")
    found = faults(text)
    assert len(found) == 3
    assert [fault.partition(":")[0] for fault in found] == ["line 4", "line 7", "line 19"]


def test_no_charge_for_energy_is_a_fault() -> None:
    text = "id: a\nversion: 1\ncurrency: EUR\ncharges: [{name: s, kind: fixed, price: 1, per: day}]\n"
    assert faults(text) == ["line 4: no charge gives energy a price at charges"]


def test_a_period_that_never_comes_is_a_fault() -> None:
    text = HOME.replace("night: {times: 22:30-06:00}", "night: {times: [22:30-06:00, 06:00-16:00, 21:00-22:30]}")
    text = text.replace("{days: weekday, times: 16:00-21:00}", "{times: 16:00-21:00}")
    assert faults(text)[0] == "line 11: no minute of the year is day at periods.day"


def test_a_price_for_a_period_that_does_not_occur_in_a_season_is_a_fault() -> None:
    text = HOME.replace("peak: {days: weekday, ", "peak: {seasons: winter, ").replace(
        "summer: [0.15, 0.2]", "summer: {peak: [1, 2], day: [1, 2], night: [1, 2]}"
    )
    assert faults(text) == ["line 18: peak does not occur in summer at charges[0].price.summer.peak"]
