"""Why requests cannot be met, from libsolv's rules: `ospackage.explanation` for RPM's relations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import solv

from os_image_composer.ospackage.explanation import Chain, NotInstallableError, Reason, chains
from os_image_composer.ospackage.rpm.pool import PackagePool, version_of
from os_image_composer.ospackage.rpm.requests import Requested

_KINDS = solv.Solver
_EXCLUDING = {
    _KINDS.SOLVER_RULE_PKG_CONFLICTS: "conflicts with",
    _KINDS.SOLVER_RULE_PKG_OBSOLETES: "obsoletes",
    _KINDS.SOLVER_RULE_PKG_IMPLICIT_OBSOLETES: "obsoletes",
    _KINDS.SOLVER_RULE_PKG_SAME_NAME: "cannot be there beside",
}
_EXPECTED = (_KINDS.SOLVER_RULE_JOB, _KINDS.SOLVER_RULE_PKG_REQUIRES)


def not_installable(
    pool: PackagePool, problems: Sequence[solv.Problem], asked: Sequence[Requested]
) -> NotInstallableError:
    """What `problems` say, as chains from what was `asked` for."""
    rules = [rule.info() for problem in problems for rule in problem.findallproblemrules()]
    roots = {_say(pool, pool.pool.id2solvable(i)): one.text for one in reversed(asked) for i in one.candidates}
    chain = chains(roots, [edge for rule in rules for edge in _edges(pool, rule)])
    reasons: dict[tuple[str, str, str], Reason] = {}
    more: list[str] = []
    for rule in rules:
        reason = _reason(pool, rule, chain)
        if reason is not None:
            against = reason.against.package if reason.against else ""
            reasons.setdefault((reason.chain.package, reason.relation, against), reason)
        elif rule.type not in _EXPECTED:
            more.append(str(rule.problemstr()))
    order = sorted(reasons.values(), key=lambda r: len(r.chain.links))  # the shortest way first
    repositories = [r.locked.name for r in pool.repositories]
    return NotInstallableError(order, repositories, tuple(dict.fromkeys(more)))


def _edges(pool: PackagePool, rule: solv.Ruleinfo) -> Iterator[tuple[str, str, str]]:
    if rule.type == _KINDS.SOLVER_RULE_PKG_REQUIRES:
        for solvable in pool.pool.whatprovides(rule.dep_id):
            yield _say(pool, rule.solvable), str(rule.dep), _say(pool, solvable)


def _reason(pool: PackagePool, rule: solv.Ruleinfo, chain: Callable[[str], Chain | None]) -> Reason | None:
    """None for a rule that is no end of a chain, or none of one that begins with a request."""
    own = chain(_say(pool, rule.solvable)) if rule.solvable else None
    relation = str(rule.dep) if rule.dep_id else ""
    if own is None:
        return None
    if rule.type == _KINDS.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
        return Reason(own, relation, absence=_absence(pool, relation))
    how = _EXCLUDING.get(rule.type)
    other = chain(_say(pool, rule.othersolvable)) if rule.othersolvable else None
    if how is None or other is None:
        return None
    return Reason(own, relation or other.package, other, how=how)


def _absence(pool: PackagePool, relation: str) -> str:
    there = [] if relation.startswith("(") else pool.named(relation.split(" ", 1)[0])
    if not there:
        later = pool.built_later(relation.split(" ", 1)[0])
        return "no repository has" + (" from before the date that was asked for" if later else "")
    return "no repository has; there is " + ", ".join(f"{_say(pool, s)} ({s.repo.name})" for s in there)


def _say(pool: PackagePool, solvable: solv.XSolvable) -> str:
    """Name and version; the architecture where it is not the usual one."""
    arch = "" if solvable.arch in (pool.arch, "noarch") else f".{solvable.arch}"
    return f"{solvable.name}{arch} {version_of(solvable)}"
