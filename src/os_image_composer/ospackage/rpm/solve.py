"""The packages that requests need: libsolv's choice, with the flags that dnf gives it."""

from __future__ import annotations

from collections.abc import Sequence

import solv

from os_image_composer.ospackage.rpm.pool import PackagePool
from os_image_composer.ospackage.rpm.reasons import not_installable
from os_image_composer.ospackage.rpm.requests import requested


def solve(pool: PackagePool, requests: Sequence[str], *, recommended: bool = False) -> dict[str, int]:
    """The chosen solvables' ids by `name arch`; with `recommended` also what they recommend and what supplements
    them. Raises SolveError: those of `requested`, and NotInstallableError with the chains of reasons; what reading
    file lists raises."""
    asked = requested(pool, requests)
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
        raise not_installable(pool, problems, asked)
    return {f"{s.name} {s.arch}": s.id for s in solver.transaction().newsolvables()}
