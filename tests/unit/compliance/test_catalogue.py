"""The frameworks as data: totals as published, identifiers well formed, and a source for everything."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import pytest

from compliance.catalogue import FRAMEWORKS, Framework, Source, UnknownName, load

TOTALS = {
    "fisma": {"low": 149, "moderate": 287, "high": 370, "privacy": 96},
    "fedramp": {
        "class-b": 155,
        "class-c": 322,
        "class-d": 409,
        "20x-class-b": 41,
        "20x-class-c": 46,
        "20x-class-d": 46,
    },
    "soc2": {"security": 33, "all": 61},
    "hipaa": {"safeguards": 18 + 36, "all": 65},
    "pcidss": {"all": 249},
}
NIST = r"[A-Z]{2}-\d{1,2}(\(\d{1,2}\))?"
IDENTIFIERS = {
    "fisma": NIST,
    "fedramp": rf"{NIST}|KSI-[A-Z]{{3}}-[A-Z]{{3}}",
    "soc2": r"(CC[1-9]|A1|C1|PI1|P[1-8])\.\d",
    "hipaa": r"164\.3\d\d\([a-e]\)(\(\d\))?(\([ivx]+\))?(\([A-E]\))?",
    "pcidss": r"(1[0-2]|[1-9])(\.\d{1,2}){2,4}",
}
PARAMETERS = {
    "lockout_attempts_max",
    "lockout_min_s",
    "idle_max_s",
    "token_max_s",
    "password_min_length",
    "password_needs_letters_and_digits",
    "password_history_min",
    "tls_min",
    "account_inactive_max_s",
    "log_retention_min_days",
    "log_online_min_days",
    "backup_age_max_s",
    "policy_review_max_days",
    "runbook_review_max_days",
    "drill_max_days",
    "malware_scan_max_days",
    "vulnerability_scan_max_days",
    "penetration_test_max_days",
    "monitoring_max_days",
}


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    return load(request.param)


def lists(framework: Framework) -> list[tuple[str, tuple[Source, ...]]]:
    return [("catalogue", framework.sources)] + [(p.name, p.sources) for p in framework.profiles.values()]


def test_totals_are_those_that_are_published(framework: Framework) -> None:
    assert {name: len(each.controls) for name, each in framework.profiles.items()} == TOTALS[framework.id]


def test_no_identifier_is_twice_in_the_file(framework: Framework) -> None:
    written = (files("compliance") / "data" / framework.id / "catalog.yaml").read_text("utf-8")
    found = Counter(re.findall(r"^ +- \{id: ([^,]+),", written, re.MULTILINE))
    assert set(found) == set(framework.controls)
    assert set(found.values()) == {1}


def test_identifiers_are_well_formed(framework: Framework) -> None:
    assert [each for each in framework.controls if not re.fullmatch(IDENTIFIERS[framework.id], each)] == []


def test_titles_are_short_and_tell_controls_apart(framework: Framework) -> None:
    titles = [each.title for each in framework.controls.values()]
    assert all(title == title.strip() and 5 <= len(title) <= 80 for title in titles)
    assert [title for title, times in Counter(map(str.lower, titles)).items() if times > 1] == []
    assert all(each.group for each in framework.controls.values())


@pytest.mark.parametrize("name", ["soc2", "pcidss"])
def test_titles_of_copyrighted_criteria_are_a_few_words(name: str) -> None:
    assert {len(each.title.split()) for each in load(name).controls.values()} <= set(range(3, 9))


def test_profiles_are_in_the_order_of_the_catalogue_and_hold_nothing_else(framework: Framework) -> None:
    for profile in framework.profiles.values():
        assert set(profile.controls) <= set(framework.controls)
        assert len(set(profile.controls)) == len(profile.controls)
        places = {each: place for place, each in enumerate(framework.controls)}
        assert list(profile.controls) == sorted(profile.controls, key=places.__getitem__)


def test_every_control_is_in_a_profile_or_superseded_by_one_that_is(framework: Framework) -> None:
    used = {each for profile in framework.profiles.values() for each in profile.controls}
    for control in framework.controls.values():
        if control.superseded_by is None:
            assert control.id in used
        else:
            assert control.id not in used
            assert control.superseded_by in used


def test_every_list_says_where_it_is_from(framework: Framework) -> None:
    for _, sources in lists(framework):
        assert sources
        for source in sources:
            assert source.name
            assert source.version
            assert source.published.startswith("https://")
            assert source.how in ("read", "derived", "transcribed")
            if source.how == "transcribed":
                assert source.sha256 is None
                assert source.note
            else:
                assert source.file
                assert re.fullmatch(r"[0-9a-f]{64}", source.sha256 or "")


def test_every_profile_has_every_parameter_and_says_where_it_is_from(framework: Framework) -> None:
    for profile in framework.profiles.values():
        methods = {"automated_methods_per_ksi_min"} if profile.name.startswith("20x") else set()
        assert set(profile.parameters) == PARAMETERS | methods
        assert set(profile.parameter_sources) == set(profile.parameters)
        assert all(len(source) > 10 for source in profile.parameter_sources.values())


def test_impact_levels_hold_one_another() -> None:
    for name, order in (
        ("fisma", ("low", "moderate", "high")),
        ("fedramp", ("class-b", "class-c", "class-d")),
    ):
        profiles = load(name).profiles
        smaller, middle, larger = (set(profiles[each].controls) for each in order)
        assert smaller < middle < larger


def test_fedramp_is_what_nist_asks_for_and_more_without_the_plan_of_action() -> None:
    nist, fedramp = load("fisma").profiles, load("fedramp").profiles
    for level, class_ in (("low", "class-b"), ("moderate", "class-c"), ("high", "class-d")):
        assert set(nist[level].controls) - set(fedramp[class_].controls) == {"CA-5"}
    added = set(fedramp["class-b"].controls) - set(nist["low"].controls)
    assert added == {"CA-2(1)", "CA-8", "PL-8", "SC-8", "SC-8(1)", "SC-28", "SC-28(1)"}


def test_the_same_control_of_nist_has_the_same_title_in_both_frameworks() -> None:
    nist, fedramp = load("fisma").controls, load("fedramp").controls
    shared = set(nist) & set(fedramp)
    assert len(shared) == 369
    assert [each for each in shared if nist[each].title != fedramp[each].title] == []


def test_key_security_indicators() -> None:
    fedramp = load("fedramp")
    families = Counter(each[4:7] for each in fedramp.controls if each.startswith("KSI-"))
    assert len(families) == 10
    assert families.total() == 46
    least = [
        fedramp.profiles[f"20x-class-{each}"].parameters["automated_methods_per_ksi_min"] for each in "bcd"
    ]
    assert least == [1, 2, 4]


def test_soc2_criteria_by_category() -> None:
    found = Counter(re.match(r"[A-Z]+", each).group() for each in load("soc2").controls)  # type: ignore[union-attr]
    assert found == {"CC": 33, "A": 3, "PI": 5, "C": 2, "P": 18}
    assert all(each.startswith("CC") for each in load("soc2").profile("security").controls)


def test_hipaa_standards_and_specifications() -> None:
    hipaa = load("hipaa")
    standard = r"164\.3\d\d\([a-e]\)(\(1\))?|164\.308\(a\)\(\d\)"
    safeguards = [hipaa.control(each) for each in hipaa.profile().controls]
    standards = [each for each in safeguards if re.fullmatch(standard, each.id)]
    specifications = [each for each in safeguards if each not in standards]
    assert len(standards) == 18
    assert {each.obligation for each in standards} == {"required"}
    assert Counter((each.id[:7], each.obligation) for each in specifications) == {
        ("164.308", "required"): 10,
        ("164.308", "addressable"): 11,
        ("164.310", "required"): 2,
        ("164.310", "addressable"): 6,
        ("164.312", "required"): 2,
        ("164.312", "addressable"): 5,
    }
    assert hipaa.control("164.312(b)").obligation == "required"
    assert {each.obligation for each in load("pcidss").controls.values()} == {None}


def test_pci_dss_requirements_by_depth_and_the_one_that_is_superseded() -> None:
    pcidss = load("pcidss")
    assert Counter(each.count(".") for each in pcidss.controls) == {2: 205, 3: 44, 4: 1}
    assert {each.split(".")[0] for each in pcidss.controls} == {str(each) for each in range(1, 13)}
    superseded = {each.id: each.superseded_by for each in pcidss.controls.values() if each.superseded_by}
    assert superseded == {"6.4.1": "6.4.2"}


def test_numbers_that_pci_dss_sets() -> None:
    parameters = load("pcidss").profile().parameters
    assert parameters["lockout_attempts_max"] == 10
    assert parameters["lockout_min_s"] == 30 * 60
    assert parameters["idle_max_s"] == 15 * 60
    assert parameters["password_min_length"] == 12
    assert parameters["password_needs_letters_and_digits"] == [True]
    assert parameters["log_retention_min_days"] == 365


def test_only_the_owner_can_say_the_impact_level() -> None:
    with pytest.raises(UnknownName, match="say which applies; allowed: low"):
        load("fisma").profile()
    with pytest.raises(UnknownName, match="say which applies; allowed: class-b"):
        load("fedramp").profile()
    assert {each: load(each).profile().name for each in ("soc2", "hipaa", "pcidss")} == {
        "soc2": "security",
        "hipaa": "safeguards",
        "pcidss": "all",
    }


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(UnknownName, match="did you mean pcidss"):
        load("pci-dss")
    with pytest.raises(UnknownName, match="did you mean moderate"):
        load("fisma").profile("moderat")
    with pytest.raises(UnknownName, match=r"no control 'ac-02\(1\)'; did you mean AC-2\(1\)"):
        load("fisma").control("ac-02(1)")
