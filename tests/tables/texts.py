"""Reads and edits the texts of `src/baseline/`: what differs from a source, line by line."""

import re

SOURCE = re.compile(r"^evidence (?P<code>\S+) (?P<kind>\S+) (?P<date>\S+)(?P<marks>(?: (?:of|at)=\S+)*) (?P<text>.*)$")


def node_key(node):
    """The order of nodes in the tables: numbers count as numbers, and before words."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[^\d._]+", node)]


class Table:
    """The text of a baseline, and what was changed in it."""

    def __init__(self, path):
        self.path = path
        self.lines = path.read_text().split("\n")
        self.changes = []

    def note(self, what):
        self.changes.append(f"{self.path.name}: {what}")

    def text(self):
        return "\n".join(self.lines)

    def block(self, start):
        """The lines from the one that is `start` to the next block's, as a range."""
        at = self.lines.index(start)
        starts = (i for i in range(at + 1, len(self.lines)) if re.match(r"(object|runtime) ", self.lines[i]))
        return at, next(starts, len(self.lines))

    def objects(self):
        return [line.split()[1] for line in self.lines if line.startswith("object ")]

    def value(self, key, span=None):
        """The value of the first line with that key, in a range of lines or before the first object."""
        start, end = span or (0, self.lines.index(f"object {self.objects()[0]}") if self.objects() else len(self.lines))
        found = (line.split(None, 1) for line in self.lines[start:end] if line.strip() and not line.startswith("#"))
        return next((words[1] if len(words) > 1 else "" for words in found if words[0] == key), None)

    # Version nodes.

    def nodes(self, soname):
        """The nodes of an object: those of every image, and the release of each later one. None if they are unknown."""
        start, end = self.block(f"object {soname}")
        floor, later, uncertain = None, {}, set()
        for line in self.lines[start:end]:
            words = line.split()
            if words[:1] == ["nodes"]:
                floor = set(words[1:]) - {"none"}
            elif words[:1] == ["since"]:
                later.update({node: words[1] for node in words[2:]})
            elif words[:1] == ["uncertain"]:
                uncertain.update(words[1:])
        return None if floor is None else (floor, later, uncertain)

    def set_nodes(self, soname, floor, later, uncertain):
        """Writes the lines of an object's nodes again."""
        start, end = self.block(f"object {soname}")
        releases = sorted(set(later.values()), key=lambda release: [int(part) for part in release.split(".")])
        new = [f"  nodes {' '.join(sorted(floor, key=node_key)) or 'none'}"]
        for release in releases:
            names = sorted((node for node in later if later[node] == release), key=node_key)
            new.append(f"  since {release} {' '.join(names)}")
        if uncertain:
            new.append(f"  uncertain {' '.join(sorted(uncertain, key=node_key))}")
        old = [i for i in range(start, end) if self.lines[i].split()[:1] in (["nodes"], ["since"], ["uncertain"])]
        at = old[0]
        for i in reversed(old):
            del self.lines[i]
        self.lines[at:at] = new

    # Sources.

    def source(self, code):
        """The parts of an evidence line, and its place."""
        for i, line in enumerate(self.lines):
            found = SOURCE.match(line)
            if found and found["code"] == code:
                return i, found.groupdict()
        return None, None

    def set_source(self, code, date, at, text=None):
        """Gives a source another day, version and text; returns whether that changes anything."""
        i, parts = self.source(code)
        marks = [mark for mark in parts["marks"].split() if not mark.startswith("at=")] + [f"at={at}"]
        new = " ".join(["evidence", code, parts["kind"], date, *marks, text or parts["text"]])
        changed = self.lines[i] != new
        self.lines[i] = new
        return changed

    # Days of the end of a runtime.

    def set_days(self, span, name, days):
        """Sets the days of a runtime in a range of lines; what has no new day stays."""
        keys = ["deprecated", "create-blocked", "update-blocked"]
        for key in keys:
            old = self.value(key, span)
            if key not in days or days[key] == old:
                continue
            self.note(f"{name}: {key} {old or '-'} -> {days[key]}")
            start, end = span
            places = {self.lines[i].split()[0]: i for i in range(start, end) if self.lines[i].split()[:1]}
            if old:
                self.lines[places[key]] = f"{key} {days[key]}"
            else:
                earlier = [*keys[: keys.index(key)], "complete", "root", "library-path"]
                before = [places[known] for known in earlier if known in places]
                self.lines.insert(max(before) + 1, f"{key} {days[key]}")
                span = (start, end + 1)
