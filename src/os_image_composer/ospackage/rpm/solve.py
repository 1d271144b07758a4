"""The packages that requests need: libsolv's choice, with the flags that dnf gives it."""

from __future__ import annotations

from collections.abc import Sequence

import solv

from os_image_composer.errors import SolveError
from os_image_composer.ospackage.rpm.pool import PackagePool, version_of
from os_image_composer.ospackage.rpm.requests import asked_architectures, requested


def solve(pool: PackagePool, requests: Sequence[str], *, recommended: bool = False) -> dict[str, int]:
    """The chosen solvables' ids by `name arch`; with `recommended` also what they recommend and what supplements
    them. Raises SolveError: those of `requested`, and `cannot-be-installed` with the chain of reasons in `detail`;
    what reading file lists raises."""
    pool.allow(asked_architectures(pool, list(requests)))
    asked = [requested(pool, text) for text in requests]
    if recommended or pool.lacks_file_lists(pool.pool.id2solvable(i) for r in asked for i in r.candidates):
        pool.read_file_lists()
    jobs = []
    for one in asked:
        queue = pool.pool.towhatprovides(list(one.candidates))
        # As dnf: who names the architecture does not get the better one's package of that name as well.
        how = solv.Job.SOLVER_SETARCH if one.foreign else 0
        jobs.append(pool.pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE_ONE_OF | how, queue))
    solver = pool.pool.Solver()  # kept: problems and rules point into it
    for flag in (
        solver.SOLVER_FLAG_KEEP_ORPHANS,
        solver.SOLVER_FLAG_BEST_OBEY_POLICY,
        solver.SOLVER_FLAG_YUM_OBSOLETES,
    ):
        solver.set_flag(flag, 1)
    solver.set_flag(solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 0 if recommended else 1)
    problems = solver.solve(jobs)
    if problems:
        raise _error(pool, problems, requests)
    return {f"{s.name} {s.arch}": s.id for s in solver.transaction().newsolvables()}


def _error(pool: PackagePool, problems: Sequence[solv.Problem], requests: Sequence[str]) -> SolveError:
    lines: list[str] = []
    for problem in problems:
        rules = [rule.info() for rule in problem.findallproblemrules()]
        lines += [line for line in (_sentence(pool, rule) for rule in rules) if line and line not in lines]
    return SolveError(
        "cannot-be-installed",
        "the packages that were asked for cannot be installed together",
        hint="leave one of them out, or ask for another version",
        detail=(
            *lines,
            f"looked in: {', '.join(r.locked.name for r in pool.repositories)}",
            f"asked for: {' '.join(requests)}",
        ),
    )


def _sentence(pool: PackagePool, rule: solv.Ruleinfo) -> str | None:
    kind, kinds = rule.type, solv.Solver
    subject, other = _say(rule.solvable), _say(rule.othersolvable)
    relation = str(rule.dep) if rule.dep_id else ""
    if kind == kinds.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
        return f"{subject} requires {relation}, which {_absence(pool, relation)}"
    if kind == kinds.SOLVER_RULE_PKG_REQUIRES:
        return f"{subject} requires {relation}"
    if kind in (kinds.SOLVER_RULE_PKG_CONFLICTS, kinds.SOLVER_RULE_PKG_OBSOLETES):
        verb = "conflicts with" if kind == kinds.SOLVER_RULE_PKG_CONFLICTS else "obsoletes"
        return f"{subject} {verb} {relation}, which {other} is"
    if kind == kinds.SOLVER_RULE_PKG_SELF_CONFLICT:
        return f"{subject} conflicts with {relation}, which it provides itself"
    if kind == kinds.SOLVER_RULE_PKG_SAME_NAME:
        return f"{subject} and {other} cannot both be installed"
    return None if kind == kinds.SOLVER_RULE_JOB else str(rule.problemstr())


def _absence(pool: PackagePool, relation: str) -> str:
    there = [] if relation.startswith("(") else pool.named(relation.split(" ", 1)[0])
    if not there:
        return "no repository has"
    return "no repository has; there is " + ", ".join(f"{_say(s)} ({s.repo.name})" for s in there)


def _say(solvable: solv.XSolvable | None) -> str:
    return f"{solvable.name} {version_of(solvable)}" if solvable else ""
