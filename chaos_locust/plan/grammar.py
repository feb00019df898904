"""The language of objectives: text to data.

    objective = measure ["of" subject] op bound (scope ["in every" duration] | "in every" duration scope)
              | "recovery" op duration "after" FAULT ("starts" | "ends")
    measure   = "p"NUM["(ok)"] | "mean"["(ok)"] | "max" | "error_rate" | "dropped" | "throughput"
              | "availability" | "outage" | PROBE"("args")"
    subject   = '"'REQUEST NAME'"' | "each request"
    bound     = NUM UNIT | INTEGER | NUM"x baseline" | "baseline +" NUM UNIT
              | NUM"% of" ("baseline" | "offered")
    scope     = "during" LABEL {"and" LABEL} | "after" FAULT

Every mistake is a ValueError that quotes the word that is wrong and says what is allowed in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, cast

from chaos_locust.data import NAME_PATTERN, did_you_mean
from chaos_locust.plan.objectives import (
    EACH_REQUEST,
    AbortCondition,
    Bound,
    Measure,
    Objective,
    Op,
    RecoveryObjective,
    Scope,
    Severity,
    Unit,
)
from chaos_locust.units import format_duration, parse_duration, parse_rate, parse_share

MEASURES: dict[str, Unit] = {
    "mean": "s",
    "max": "s",
    "error_rate": "ratio",
    "dropped": "ratio",
    "throughput": "1/s",
    "availability": "ratio",
    "outage": "s",
}
_EXAMPLES: dict[Unit, str] = {"s": "100ms", "ratio": "5%", "1/s": "50/s", "count": "3"}
_WITHOUT_SUBJECT = ("dropped", "probe")
_TOKENS = re.compile(r'"[^"]*"?|[<>]=?|\+|[^\s"<>+(]+(?:\([^)]*\)?)?|\(', re.ASCII)
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,6})?)", re.ASCII)
_CALL = re.compile(r"([A-Za-z_]\w*)\((.*)\)", re.ASCII)
_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x", re.ASCII)
_INTEGER = re.compile(r"\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def parse_objective(
    text: str, severity: Severity = "error", confidence: float | None = None
) -> Objective | RecoveryObjective:
    """An objective with its scope, or a recovery objective. `confidence` is a share of one."""
    words = _Words(text)
    if words.peek() == "recovery":
        if confidence is not None:
            raise words.wrong("confidence: does not go with recovery, which is one measurement, not many")
        return _recovery(words, severity)
    rule = replace(_rule(words), severity=severity, confidence=confidence)
    every_s, scope = None, None
    while not words.at_end():
        word = words.next("during, after or in every")
        if word == "in" and every_s is None:
            words.expect("every")
            every_s = words.whole_seconds()
        elif word in ("during", "after") and scope is None:
            scope = _scope(words, cast(Literal["during", "after"], word))
        elif word in ("during", "after", "in"):
            raise words.wrong(f"a second '{word}' is not allowed; join labels by and")
        else:
            raise words.unexpected(word, ["during", "after", "in every"])
    if scope is None:
        raise words.wrong("it does not say where it must hold; add during run, during NAME or after FAULT")
    if rule.bound.relative in ("factor", "plus") and scope.labels == ("baseline",):
        raise words.wrong("the baseline cannot be compared with itself")
    return replace(rule, scope=scope, every_s=every_s)


def parse_steady_state(text: str) -> Objective:
    """An objective without scope: it is judged on every 5 s of the run."""
    words = _Words(text)
    rule = _rule(words)
    words.expect_end("steady_state takes no scope and no in every")
    return rule


def parse_abort(text: str) -> AbortCondition:
    """`error_rate > 60% for 5s`."""
    words = _Words(text)
    rule = _rule(words)
    words.expect("for")
    for_s = words.whole_seconds()
    words.expect_end("nothing comes after the duration")
    return AbortCondition(words.text, rule, for_s)


def _recovery(words: _Words, severity: Severity) -> RecoveryObjective:
    words.expect("recovery")
    op = words.op()
    bound_s = words.duration("a duration, such as 5s")
    words.expect("after")
    fault = words.label("the name of a fault")
    edge = words.one_of("starts", "ends")
    words.expect_end("nothing comes after starts or ends")
    return RecoveryObjective(words.text, op, bound_s, fault, cast(Literal["starts", "ends"], edge), severity)


def _rule(words: _Words) -> Objective:
    """measure ["of" subject] op bound"""
    measure = _measure(words)
    subject = None
    if words.peek() == "of":
        words.expect("of")
        if measure.kind in _WITHOUT_SUBJECT:
            raise words.wrong(f"{measure.kind} is not counted by request; leave 'of ...' out")
        subject = _subject(words)
    op = words.op()
    return Objective(words.text, measure, op, _bound(words, measure, subject), None, subject)


def _measure(words: _Words) -> Measure:
    word = words.next("a measure, such as p99 or error_rate")
    ok_only = word.endswith("(ok)")
    name = word.removesuffix("(ok)")
    if match := _QUANTILE.fullmatch(name):
        if not 0 < float(match[1]) < 100:
            raise words.wrong(
                f"'{word}' is no percentile; allowed: above p0 and below p100, such as p99 or p99.9"
            )
        return Measure("quantile", quantile=parse_share(f"{match[1]}%"), ok_only=ok_only)
    if name in MEASURES:
        if ok_only and name != "mean":
            raise words.wrong(f"'{word}': (ok) goes with percentiles and mean only")
        kind = cast(
            Literal["mean", "max", "error_rate", "dropped", "throughput", "availability", "outage"], name
        )
        return Measure(kind, ok_only=ok_only)
    if match := _CALL.fullmatch(word):
        return Measure("probe", probe_name=match[1], probe_args=match[2].strip().strip('"'))
    raise words.unexpected(word, ["p50", "p95", "p99", *MEASURES, "recovery", "PROBE(...)"])


def _subject(words: _Words) -> str:
    word = words.next('a request name in quotes, such as "GET /products", or each request')
    if word == "each":
        words.expect("request")
        return EACH_REQUEST
    if not word.startswith('"'):
        raise words.wrong(f"'{word}' is not in quotes; write of \"METHOD NAME\" or of each request")
    if len(word) < 3 or not word.endswith('"'):
        raise words.wrong(
            f"{word} is no request name: " + ("it is empty" if word == '""' else "a quote is missing")
        )
    return word[1:-1]


def _bound(words: _Words, measure: Measure, subject: str | None) -> Bound:
    """NUM UNIT | INTEGER | NUM"x baseline" | "baseline +" NUM UNIT | NUM"% of" ("baseline" | "offered")"""
    unit: Unit | None = None if measure.kind == "probe" else MEASURES.get(measure.kind, "s")
    word = words.next("a bound")
    if word == "baseline":
        words.expect("+")
        plus = _plain(words, words.next("what is added to the baseline"), measure, unit)
        return replace(plus, relative="plus")
    if match := _FACTOR.fullmatch(word):
        words.expect("baseline")
        return Bound(float(match[1]), unit or "count", "factor")
    if word.endswith("%") and words.peek() == "of":
        words.expect("of")
        value = _percent(words, word)
        if words.one_of("baseline", "offered") == "baseline":
            return Bound(value, unit or "count", "factor")
        if measure.kind != "throughput" or subject is not None:
            raise words.wrong("% of offered goes with throughput of the whole load only")
        return Bound(value, "ratio", "offered")
    return _plain(words, word, measure, unit)


def _percent(words: _Words, word: str) -> float:
    """A percentage of the baseline may be above 100 %."""
    if not _NUMBER.fullmatch(word[:-1]):
        raise words.wrong(f"'{word}' is no percentage; give one such as 95%")
    return float(Decimal(word[:-1]) / 100)


def _plain(words: _Words, word: str, measure: Measure, unit: Unit | None) -> Bound:
    """A value with its unit, or a count where one makes sense."""
    if _NUMBER.fullmatch(word) and words.peek() in ("us", "ms", "s", "min", "h", "%", "/s"):
        word += words.next("a unit")
    if measure.kind in ("dropped", "probe") and _INTEGER.fullmatch(word):
        return Bound(float(word), "count")
    if unit is None:
        unit = "ratio" if word.endswith("%") else "1/s" if word.endswith("/s") else "s"
    try:
        if unit == "s":
            return Bound(parse_duration(word), unit)
        return Bound(parse_share(word) if unit == "ratio" else parse_rate(word), unit)
    except ValueError:
        name = f"p{measure.quantile * 100:g}" if measure.quantile else measure.kind
        what = {"s": "a duration", "ratio": "a percentage up to 100%", "1/s": "a rate"}[unit]
        example = f"'{word}' does not bound {name}; give {what} with its unit, such as {_EXAMPLES[unit]}"
        raise words.wrong(example) from None


def _scope(words: _Words, kind: Literal["during", "after"]) -> Scope:
    labels = [words.label("a step, a fault, run or baseline" if kind == "during" else "the name of a fault")]
    while kind == "during" and words.peek() == "and":
        words.expect("and")
        labels.append(words.label("a step, a fault, run or baseline"))
    return Scope(kind, tuple(labels))


@dataclass
class _Words:
    """The words of one objective, read from left to right."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ValueError(f"'{self.text}' is no text; with a colon in it, put it in quotes")
        self.text = re.sub(r"\s*\n\s*", " ", self.text.strip())
        if not self.text:
            raise ValueError("it is empty; give an objective, such as p99 < 100ms during run")
        self._left = _TOKENS.findall(self.text)

    def at_end(self) -> bool:
        return not self._left

    def peek(self) -> str | None:
        return self._left[0] if self._left else None

    def next(self, wanted: str) -> str:
        if not self._left:
            raise self.wrong(f"it ends too early; {wanted} is missing")
        return cast(str, self._left.pop(0))

    def expect(self, word: str) -> None:
        found = self.next(f"'{word}'")
        if found != word:
            raise self.wrong(f"'{found}' where '{word}' is expected")

    def expect_end(self, reason: str) -> None:
        if self._left:
            raise self.wrong(f"'{self._left[0]}' is too much; {reason}")

    def one_of(self, *allowed: str) -> str:
        found = self.next(" or ".join(allowed))
        if found not in allowed:
            raise self.unexpected(found, allowed)
        return found

    def op(self) -> Op:
        return cast(Op, self.one_of("<", "<=", ">", ">="))

    def duration(self, wanted: str) -> float:
        word = self.next(wanted)
        if _NUMBER.fullmatch(word) and self.peek() in ("us", "ms", "s", "min", "h"):
            word += self.next("a unit")
        try:
            return parse_duration(word)
        except ValueError as error:
            raise self.wrong(str(error)) from None

    def whole_seconds(self) -> float:
        value_s = self.duration("a duration, such as 5s")
        if value_s < 1 or value_s % 1:
            raise self.wrong(f"'{format_duration(value_s)}' is not allowed; give whole seconds, at least 1s")
        return value_s

    def label(self, wanted: str) -> str:
        word = self.next(wanted)
        if not re.fullmatch(NAME_PATTERN, word):
            raise self.wrong(f"'{word}' is no name; expected {wanted}")
        return word

    def unexpected(self, word: str, allowed: list[str] | tuple[str, ...]) -> ValueError:
        return self.wrong(f"'{word}' is not allowed here; {did_you_mean(word, allowed)}")

    def wrong(self, message: str) -> ValueError:
        shown = self.text if len(self.text) <= 100 else self.text[:97] + "..."
        return ValueError(f"{message} (in: {shown})")
