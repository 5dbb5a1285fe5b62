#!/usr/bin/env python3
"""Compares the facts in `src/baseline/` with public sources, and with `--write` brings them up to date.

    python3 tests/tables/renew.py --tool target/debug/cargo-lambda-bundle            # compare, with the network
    python3 tests/tables/renew.py --samples testdata/tables --every-release          # with recorded samples

Exit status: 0 if all sources were read and the tables agree with them, 3 if they differ, 4 if a source could not be
reached (it changes nothing), 7 for both. Amazon Linux 2027, of which no address has been tried, does not count. A node that a release adds becomes a `since` line. Nothing is taken away and no
object is added: those lines begin with `person:`, and somebody has to look.
"""

import argparse
import pathlib
import re
import sys

import sources
from sources import Unreached
from texts import Table, node_key

DIFFERS, UNREACHED = 3, 4
ROOTS = {"x86_64": "provided.al2023-x86_64.txt", "arm64": "provided.al2023-arm64.txt"}


class Renewal:
    def __init__(self, options):
        self.options = options
        self.web = sources.Web(options.samples)
        self.directory = pathlib.Path(options.tables)
        self.tables = {}
        self.unreached = []
        self.persons = []
        self.notices = []
        self.read = set()

    def table(self, name):
        if name not in self.tables:
            self.tables[name] = Table(self.directory / name)
        return self.tables[name]

    def run(self):
        steps = {
            "packages": self.packages,
            "notes": self.notes,
            "images": self.images,
            "names": self.names,
            "days": self.days,
            "next": self.next,
        }
        for name, step in steps.items():
            if self.options.source and name not in self.options.source:
                continue
            before = {table: (list(table.lines), list(table.changes)) for table in self.tables.values()}
            persons = list(self.persons)
            try:
                step()
                self.read.add(name)
            except Unreached as error:
                # Half of a source is none: what its first half changed is as before.
                for table in self.tables.values():
                    table.lines, table.changes = before.get(table) or (table.path.read_text().split("\n"), [])
                self.persons = persons
                self.unreached.append(f"{name}: {' '.join(str(error).split())}")
        return self.finish()

    def finish(self):
        changes = [change for table in self.tables.values() for change in table.changes]
        for line in changes:
            print(line)
        for line in self.persons:
            print(f"person: {line}")
        for line in self.unreached:
            print(f"not reached: {line}")
        for line in self.notices:
            print(f"not known: {line}")
        if self.options.write:
            for table in self.tables.values():
                if table.changes:
                    table.path.write_text(table.text())
        if not (changes or self.persons or self.unreached):
            print(f"the tables agree with every {'other ' if self.notices else ''}source")
        return (DIFFERS if changes or self.persons else 0) | (UNREACHED if self.unreached else 0)

    # Package metadata: version nodes, and the release that brought each.

    def releases(self, newest):
        """The releases to read: all, or those after the newest that the tables know."""
        listed = sources.parse_releases(self.web.get(f"{sources.CORE}/releasemd.xml"))
        if self.options.every_release:
            return listed
        after = sources.release_key(newest)
        return [release for release in listed if sources.release_key(release) > after]

    def packages(self):
        for arch, name in ROOTS.items():
            table = self.table(name)
            _, known = table.source("U")
            newest = re.search(r" at=(\S+)", known["marks"])[1]
            seen, last = {}, {}
            for release in self.releases(newest):
                packages = sources.packages_of(self.web, release, arch)
                for ours, theirs in sources.BUILDS.items():
                    self.compare_builds(release, arch, packages, ours, theirs)
                for package, (_, libraries) in packages.items():
                    last[package] = (release, libraries)
                    for soname, nodes in libraries.items():
                        seen.setdefault((package, soname), []).append((release, nodes))
            for soname in table.objects():
                package = table.value("package", table.block(f"object {soname}"))
                # The package of an object whose nodes are not known was not looked up either.
                if package in last and soname not in last[package][1] and table.nodes(soname):
                    self.persons.append(f"{name}: {soname}: {last[package][0]} has a {package} without it")
                elif seen.get((package, soname)):
                    self.compare_nodes(table, soname, seen[package, soname])

    def compare_builds(self, release, arch, packages, ours, theirs):
        """Compares two builds of a package; in place of the one that Lambda has, the other will do."""
        if theirs not in packages:
            return
        if ours not in packages:
            packages[ours] = packages[theirs]
        elif packages[ours] != packages[theirs]:
            self.persons.append(f"{release} on {arch}: {ours} is not as {theirs}")

    def compare_nodes(self, table, soname, releases):
        """Compares an object with its nodes in releases, oldest first."""
        known = table.nodes(soname)
        if known is None:
            release, nodes = releases[-1]
            names = " ".join(sorted(nodes)) or "none"
            self.persons.append(f"{table.path.name}: {soname}: its nodes are not known; {release} has {names}")
            return
        floor, later, uncertain = known
        if self.options.every_release:
            new_floor, new_later = set(releases[0][1]), {}
        else:
            new_floor, new_later = set(floor), dict(later)
        for release, nodes in releases:
            for node in nodes - new_floor - new_later.keys():
                new_later[node] = release
            gone = (new_floor | {node for node in new_later if node not in nodes}) - nodes
            if gone:
                self.persons.append(f"{table.path.name}: {soname}: {release} has no {' '.join(sorted(gone))}")
        gone = (floor | later.keys()) - new_floor - new_later.keys()
        if gone:
            self.persons.append(f"{table.path.name}: {soname}: no release has {' '.join(sorted(gone))}")
        # Who has an old image starts with what the floor says, so the floor only grows by a person.
        for node in sorted((new_floor - floor) | new_later.keys() - later.keys()):
            release = new_later.get(node, releases[0][0])
            table.note(f"{soname}: + {node} since {release}")
            later[node] = release
        for node in sorted(later.keys() & new_later.keys()):
            if later[node] != new_later[node]:
                table.note(f"{soname}: {node} since {later[node]} -> {new_later[node]}")
                later[node] = new_later[node]
        table.set_nodes(soname, floor, later, uncertain - later.keys())

    # Release notes: what AWS says of the minimal container image.

    def notes(self):
        if "packages" not in self.read:
            # The notes move the release from which the next run reads on.
            raise Unreached("they are read with the packages of the same releases")
        builds = {theirs: ours for ours, theirs in sources.BUILDS.items()}
        for name in ROOTS.values():
            table = self.table(name)
            at, known = table.source("U")
            newest = re.search(r" at=(\S+)", known["marks"])[1]
            ours = {table.value("package", table.block(f"object {soname}")) for soname in table.objects()}
            text, found = known["text"], None
            for release in self.releases(newest):
                if sources.release_key(release) <= sources.release_key(newest):
                    continue
                noted = sources.parse_notes(self.web.get(f"{sources.NOTES}/relnotes-{release}.md"))
                packages = {builds.get(package, package): version for package, version in noted.items()}
                if ours & packages.keys():
                    found = release
                    self.add_note(table, packages, release)
            if found and at is not None:
                day = found.rsplit(".", 1)[1]
                table.set_source("U", f"{day[:4]}-{day[4:6]}-{day[6:]}", found, text)

    def add_note(self, table, packages, release):
        """Names the notes of a release as evidence of the objects whose package they update."""
        updated = set()
        for soname in table.objects():
            start, end = table.block(f"object {soname}")
            package = table.value("package", (start, end))
            if package not in packages:
                continue
            updated.add(f"{package}-{packages[package]}")
            for i in range(start, end):
                if table.lines[i].startswith("  evidence ") and "U" not in table.lines[i].split()[1].split(","):
                    table.lines[i] += ",U"
        table.note(f"notes of {release}: {' '.join(sorted(updated))}")

    # The next Amazon Linux.

    def next(self):
        """Looks for package metadata of Amazon Linux 2027, which is no runtime of Lambda and has no table."""
        found = []
        try:
            release = sources.parse_releases(self.web.get(f"{sources.NEXT_CORE}/releasemd.xml"), 2027)[-1]
            for arch in ROOTS:
                packages = sources.packages_of(self.web, release, arch, sources.NEXT_CORE)
                _, libraries = packages["glibc"]
                nodes = sorted((node for node in libraries["libc.so.6"] if node.startswith("GLIBC_2.")), key=node_key)
                found.append(
                    f"Amazon Linux 2027 can be read: {release} on {arch} has {len(packages)} packages and a libc.so.6 up to "
                    f"{nodes[-1]}; it is no runtime of Lambda and has no baseline"
                )
            self.persons += found
        except (Unreached, KeyError, IndexError) as error:
            why = " ".join(str(error).split())
            self.notices.append(f"Amazon Linux 2027: {why}; its address is a guess, so this changes nothing")

    # Images.

    def images(self):
        for arch in ROOTS:
            table = self.table(f"image.al2023-{arch}.txt")
            found = sources.image(self.web, arch, self.options.tool)
            kept = {name for line in table.lines if line.startswith("keep ") for name in line.split()[2:]}
            for what, names in (("lacks", kept - found["sonames"]), ("has new", found["sonames"] - kept)):
                if names:
                    of = f"{table.path.name}: the image of {found['date']}"
                    self.persons.append(f"{of} {what} {' '.join(sorted(names))}")
            if kept <= found["sonames"]:
                name = f"{sources.REGISTRY.removeprefix('https://')}/{sources.REPOSITORY}:{sources.TAG}"
                where = f"names of the libraries in the container image {name} ({arch}), by `baseline capture`"
                if table.set_source("IM", found["date"], found["digest"], where):
                    table.note(f"image of {found['date']}, {found['digest']}")

    # Names and days.

    def names(self):
        service = self.web.package("botocore")
        names = sources.parse_names(service["document"])
        ours = set(re.findall(r"^runtime (\S+)$", self.table("languages.txt").text(), re.M))
        ours |= set(re.findall(r"^(\S+) \d{4}-", self.table("retired.txt").text(), re.M))
        ours |= {"provided", "provided.al2", "provided.al2023", "custom"}
        for name in names:
            if name not in ours:
                self.persons.append(f"botocore {service['version']} has the runtime {name}, which has no baseline")

    def days(self):
        lint = self.web.package("cfn-lint")
        days = sources.parse_lifecycle(lint["document"])
        languages = self.table("languages.txt")
        for name in re.findall(r"^runtime (\S+)$", languages.text(), re.M):
            if name in days:
                languages.set_days(languages.block(f"runtime {name}"), name, days[name])
        for file in sorted(self.directory.glob("provided*.txt")):
            table = self.table(file.name)
            name = table.value("runtime")
            table.set_days((0, table.lines.index(f"object {table.objects()[0]}")), name, days.get(name, {}))
        retired = self.table("retired.txt")
        for i, line in enumerate(retired.lines):
            name, _, day = line.partition(" ")
            new = days.get(name, {}).get("update-blocked", day)
            if not line.startswith("#") and new != day:
                retired.note(f"{name}: update-blocked {day} -> {new}")
                retired.lines[i] = f"{name} {new}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=pathlib.Path(__file__).parents[2] / "src" / "baseline", metavar="DIR")
    parser.add_argument("--samples", metavar="DIR", help="read recorded documents, and nothing from the network")
    parser.add_argument("--source", action="append", choices=["packages", "notes", "images", "names", "days", "next"])
    parser.add_argument("--every-release", action="store_true", help="also read releases that the tables know")
    parser.add_argument("--tool", metavar="PATH", help="the built cargo-lambda-bundle, which captures images")
    parser.add_argument("--write", action="store_true", help="change the tables")
    return Renewal(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
