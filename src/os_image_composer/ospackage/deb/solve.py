"""The packages that a set needs: apt's choices, proven by libsolv.

`marking` makes apt's choices. Here libsolv gets these packages, all of them demanded, and either finds them to be a
system in which every demand is met and no exclusion is violated, or, where apt's first choices do not fit together,
looks for one among everything that the request can reach, favouring apt's choices. So the set is apt's whenever
apt's greedy way leads somewhere, and it is a proven one always. Recommends are not installed.

How Debian's relations are put to libsolv, which in the PyPI wheel knows rpm's semantics only:

- The versions that occur with a name, in packages, Provides and relations, are ranked by dpkg's ordering, and libsolv
  gets the rank as the version.
- A versioned relation on `name` is one on `name#v`, which is provided by packages of that name and by versioned
  Provides; so an unversioned Provides never meets a versioned relation (Policy 7.5).
- `name:any` is a name of its own, provided by packages with `Multi-Arch: allowed`; so is `name:i386` on another
  architecture, which nothing provides.
- Alternatives are REL_OR. Conflicts and Breaks are both conflicts; a package that provides what it conflicts with
  does not exclude itself (Policy 7.4), which is libsolv's way without POOL_FLAG_FORBIDSELFCONFLICTS.
- Only candidates enter the pool, all of them as `noarch`: the candidate choice has settled version and architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import solv

from os_image_composer.config.spec import package_key
from os_image_composer.errors import SolveError
from os_image_composer.ospackage.deb.candidates import Available
from os_image_composer.ospackage.deb.control import Alternatives, Operator, Relation
from os_image_composer.ospackage.deb.following import follow_suites
from os_image_composer.ospackage.deb.marking import mark
from os_image_composer.ospackage.deb.packages import Package
from os_image_composer.ospackage.deb.version import Key
from os_image_composer.ospackage.explanation import Chain, NotInstallableError, Reason, chains

_FLAGS = {
    Operator.EARLIER: solv.REL_LT,
    Operator.EARLIER_OR_EQUAL: solv.REL_LT | solv.REL_EQ,
    Operator.EQUAL: solv.REL_EQ,
    Operator.LATER_OR_EQUAL: solv.REL_GT | solv.REL_EQ,
    Operator.LATER: solv.REL_GT,
}


def solve(available: Available, requests: Sequence[str], *, defaults: bool) -> tuple[Package, ...]:
    """The packages for `requests` (`name`, `name=version`, `name/suite`) and all they need, sorted by name; with
    `defaults` the Essential packages as well. Raises SolveError: those of `Available.request`, and
    `cannot-be-installed` with the chain of reasons in `detail`."""
    available = _with_pins(available, requests)
    asked = available.requests(requests)
    wanted = {p.name: p for p in ((*available.defaults(), *asked) if defaults else asked)}
    suites = [(p, p.suite) for p, text in zip(asked, requests, strict=True) if "/" in text]
    if suites:
        following = {p.name: p for p in follow_suites(available, wanted.values(), suites)}
        available = available.choosing(({p.name: p for p in asked} | following).values())
        wanted = {name: following.get(name, package) for name, package in wanted.items()}
    chosen = mark(available, list(wanted.values()))
    proof = _Proof(available, chosen)
    if not proof.run(chosen):
        proof = _Proof(available, _reachable(available, wanted.values()))
        if not proof.run(list(wanted.values()), favour=chosen):
            texts = dict(zip((p.name for p in asked), requests, strict=True))
            raise proof.error({str(p): texts.get(p.name) for p in wanted.values()})
    return tuple(sorted(proof.result, key=lambda p: p.name))


def _with_pins(available: Available, requests: Sequence[str]) -> Available:
    """A template pins what another one asks for by name alone: the versions that are asked for are the candidates."""
    texts = [text for text in requests if "=" in text or "/" in text]
    try:
        exact = available.requests(texts)
    except SolveError:
        available.requests(requests)  # what is wrong with the others is told together with it
        raise
    _refuse_two_versions(texts, exact)
    return available.choosing(exact)


def _refuse_two_versions(requests: Sequence[str], asked: Sequence[Package]) -> None:
    seen: dict[str, Package] = {}
    for text, package in zip(requests, asked, strict=True):
        other = seen.setdefault(package.name, package)
        if other is not package:
            raise SolveError(
                "two-versions",
                f"{package.name} is asked for as {other.version} and as {package.version}",
                hint="ask for one of them",
                key=package_key(text),
            )


def _reachable(available: Available, wanted: Iterable[Package]) -> tuple[Package, ...]:
    """Everything that any choice could bring in."""
    found = {p.name: p for p in wanted}
    queue = list(found.values())
    while queue:
        for demand in queue.pop().demands:
            for relation in demand:
                for package in available.matching(relation):
                    if package.name not in found:
                        found[package.name] = package
                        queue.append(package)
    return tuple(found.values())


class _Proof:
    """A libsolv pool of some candidates."""

    def __init__(self, available: Available, packages: Sequence[Package]) -> None:
        self._available = available
        self._pool = solv.Pool()
        self._pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        self._pool.setarch("noarch")
        self._repo = self._pool.add_repo("candidates")
        self._ranks = _ranks(available, packages)
        self._texts: dict[int, str] = {}
        self._packages: dict[int, Package] = {}
        self._ids: dict[str, int] = {}
        self.result: tuple[Package, ...] = ()
        self._problems: list[solv.Problem] = []
        for package in packages:
            self._add(package)
        self._pool.createwhatprovides()

    def run(self, wanted: Sequence[Package], favour: Sequence[Package] = ()) -> bool:
        """Whether all of `wanted` can be there together; `result` is then everything that is."""
        one = solv.Job.SOLVER_SOLVABLE
        jobs = [self._pool.Job(solv.Job.SOLVER_INSTALL | one, self._ids[p.name]) for p in wanted]
        jobs += [self._pool.Job(solv.Job.SOLVER_FAVOR | one, self._ids[p.name]) for p in favour if p.name in self._ids]
        self._solver = solver = self._pool.Solver()  # kept: problems and rules point into it
        solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 1)
        self._problems = solver.solve(jobs)
        if self._problems:
            return False
        self.result = tuple(self._packages[s.id] for s in solver.transaction().newsolvables())
        return True

    def _add(self, package: Package) -> None:
        solvable = self._repo.add_solvable()
        solvable.name, solvable.arch = package.name, "noarch"
        solvable.evr = str(self._ranks[package.name][package.key])
        self._packages[solvable.id], self._ids[package.name] = package, solvable.id
        solvable.add_provides(self._dependency(package.name))
        solvable.add_provides(self._versioned(package.name, Operator.EQUAL, package.key))
        if package.multi_arch == "allowed":
            solvable.add_provides(self._dependency(f"{package.name}:any"))
            solvable.add_provides(self._versioned(f"{package.name}:any", Operator.EQUAL, package.key))
        for provided in package.provides:
            for name in self._provided_names(package, provided):
                solvable.add_provides(self._dependency(name))
                if provided.operator is Operator.EQUAL:
                    key = self._available.key(provided.version)
                    solvable.add_provides(self._versioned(name, Operator.EQUAL, key))
        for demand in package.demands:
            solvable.add_requires(self._any_of(demand))
        for excluded in package.excludes:
            solvable.add_conflicts(self._relation(excluded))

    @staticmethod
    def _provided_names(package: Package, provided: Relation) -> tuple[str, ...]:
        if provided.qualifier == "any" or package.multi_arch == "allowed":
            return provided.name, f"{provided.name}:any"
        return (provided.name,)

    def _any_of(self, demand: Alternatives) -> solv.Dep:
        dependency = self._relation(demand[-1])
        for relation in reversed(demand[:-1]):
            dependency = self._relation(relation).Rel(solv.REL_OR, dependency)
        self._texts[dependency.id] = " | ".join(map(str, demand))
        return dependency

    def _relation(self, relation: Relation) -> solv.Dep:
        named = relation.qualifier == "any" or self._available.foreign(relation)
        name = f"{relation.name}:{relation.qualifier}" if named else relation.name
        if relation.operator is None:
            dependency = self._dependency(name)
        else:
            dependency = self._versioned(name, relation.operator, self._available.key(relation.version))
        self._texts[dependency.id] = str(relation)
        return dependency

    def _dependency(self, name: str) -> solv.Dep:
        return self._pool.Dep(name)

    def _versioned(self, name: str, operator: Operator, key: Key) -> solv.Dep:
        rank = self._ranks[name.split(":", 1)[0]][key]
        return self._pool.Dep(f"{name}#v").Rel(_FLAGS[operator], self._pool.Dep(str(rank)))

    def error(self, roots: Mapping[str, str | None]) -> NotInstallableError:
        """Why it cannot be. `roots` are the packages that are wanted, with the text that asks for each."""
        rules = [rule.info() for problem in self._problems for rule in problem.findallproblemrules()]
        chain = chains(roots, [edge for rule in rules for edge in self._edges(rule)])
        reasons: dict[tuple[str, str, str], Reason] = {}
        more: list[str] = []
        for rule in rules:
            reason = self._reason(rule, chain)
            if reason is not None:
                against = reason.against.package if reason.against else ""
                reasons.setdefault((reason.chain.package, reason.relation, against), reason)
            elif rule.type not in self._EXPECTED:
                more.append(str(rule.problemstr()))
        # The user's own come first, and of these the shortest way.
        order = sorted(reasons.values(), key=lambda r: (r.chain.request is None, len(r.chain.links)))
        return NotInstallableError(order, self._available.repositories, tuple(dict.fromkeys(more)))

    _EXPECTED = (
        solv.Solver.SOLVER_RULE_JOB,
        solv.Solver.SOLVER_RULE_PKG_REQUIRES,
        solv.Solver.SOLVER_RULE_PKG_CONFLICTS,
        solv.Solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP,
    )

    def _edges(self, rule: solv.Ruleinfo) -> Iterator[tuple[str, str, str]]:
        if rule.type == solv.Solver.SOLVER_RULE_PKG_REQUIRES:
            subject, text = self._packages[rule.solvable.id], self._texts.get(rule.dep_id, "")
            for solvable in self._pool.whatprovides(rule.dep_id):
                yield str(subject), text, str(self._packages[solvable.id])

    def _reason(self, rule: solv.Ruleinfo, chain: Callable[[str], Chain | None]) -> Reason | None:
        kind, solver = rule.type, solv.Solver
        if kind not in (solver.SOLVER_RULE_PKG_CONFLICTS, solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP):
            return None
        subject, text = str(self._packages[rule.solvable.id]), self._texts.get(rule.dep_id, "")
        own = chain(subject) or Chain(None, (), subject)
        if kind == solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
            return Reason(own, text, absence=self._absence(text))
        other = str(self._packages[rule.othersolvable.id])
        return Reason(own, text, chain(other) or Chain(None, (), other))

    def _absence(self, text: str) -> str:
        name = text.split(" ", 1)[0].split(":", 1)[0]
        there = self._available.versions(name)
        if "|" in text or not there:
            return "no repository has"
        return "no repository has; there is " + ", ".join(f"{p} ({p.repository})" for p in there)


def _ranks(available: Available, packages: Iterable[Package]) -> dict[str, dict[Key, int]]:
    """For each name the versions that occur with it, numbered from 1 in dpkg's order."""
    keys: dict[str, set[Key]] = {}
    for package in packages:
        keys.setdefault(package.name, set()).add(package.key)
        relations = [r for demand in package.demands for r in demand]
        for relation in (*relations, *package.excludes, *package.provides):
            if relation.operator is not None:
                keys.setdefault(relation.name, set()).add(available.key(relation.version))
    return {name: {key: rank for rank, key in enumerate(sorted(found), 1)} for name, found in keys.items()}
