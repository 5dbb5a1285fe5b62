"""Reads public sources: package metadata, release notes, images, names and dates of runtimes.

Each `parse_*` function gets the bytes of one document and returns plain values; `Web` gets the documents, from the
network or from a directory of samples in which each file lies at the host and the path of its address.
"""

import contextlib
import datetime
import hashlib
import http.client
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib

ARCHES = {"x86_64": "x86_64", "arm64": "aarch64"}
CORE = "https://cdn.amazonlinux.com/al2023/core"
# The host is the one of the support data that AWS's guide of Amazon Linux 2027 names; that the repositories lie as those
# of Amazon Linux 2023 do is a guess, which nobody has tried yet.
NEXT_CORE = "https://cdn-al2027.amazonlinux.com/core"
NOTES = "https://docs.aws.amazon.com/linux/al2023/release-notes"
REGISTRY = "https://public.ecr.aws"
REPOSITORY = "lambda/provided"
TAG = "al2023"
INDEX_TYPES = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
COMMON = "{http://linux.duke.edu/metadata/common}"
REPO = "{http://linux.duke.edu/metadata/repo}"
RPM = "{http://linux.duke.edu/metadata/rpm}"


# More than any document or layer has.
MOST_BYTES = 1 << 30


# Packages of which Lambda's roots and images have another build, from the same source package: AWS in
# aws/aws-lambda-base-images issue 245. Amazon's own images have the ones on the right.
BUILDS = {"openssl-snapsafe-libs": "openssl-libs"}


class Unreached(Exception):
    """A source that cannot be read now; nothing is concluded from that."""


@contextlib.contextmanager
def reading(what):
    """What breaks a parser is no document of the form that it reads: the source is not reached."""
    kinds = (KeyError, IndexError, TypeError, AttributeError, ValueError, OSError, EOFError, RecursionError, zlib.error)
    try:
        yield
    except (*kinds, ElementTree.ParseError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise Unreached(f"{what} has another form: {type(error).__name__}: {error}") from error


def verified(data, digest, what):
    """The data, if it has this digest, as `sha256:` and hexadecimal digits."""
    name, _, expected = digest.partition(":")
    if name != "sha256" or not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise Unreached(f"{what}: its digest `{digest[:80]}` is no SHA-256")
    if hashlib.sha256(data).hexdigest() != expected:
        raise Unreached(f"{what}: it has not the SHA-256 that is named for it")
    return data


class Web:
    """Gets documents by their address."""

    def __init__(self, samples=None):
        self.samples = pathlib.Path(samples) if samples else None

    def get(self, url, headers=None):
        if self.samples:
            address = urllib.parse.urlsplit(url)
            file = self.samples / address.netloc / address.path.lstrip("/")
            try:
                return file.read_bytes()
            except OSError as error:
                raise Unreached(f"{url}: no sample: {error.strerror}") from error
        if not url.startswith("https://"):
            raise Unreached(f"{url}: only https is asked")
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=60) as answer:
                if not answer.geturl().startswith("https://"):
                    raise Unreached(f"{url}: it leads to {answer.geturl()}, and only https is asked")
                data = answer.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise Unreached(f"{url}: more than {MOST_BYTES} bytes")
            return data
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, OSError) as error:
            raise Unreached(f"{url}: {error}") from error

    def package(self, name):
        """The newest wheel of a Python package, by the ordinary client."""
        if self.samples:
            file = self.samples / "pypi" / f"{name}.json"
            if not file.is_file():
                raise Unreached(f"{name} of PyPI: no sample")
            with reading(f"{name} of PyPI"):
                return json.loads(file.read_text())
        with tempfile.TemporaryDirectory() as directory:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            try:
                ran = subprocess.run(
                    [*pip, "--dest", directory, name], capture_output=True, text=True, check=False, timeout=600
                )
            except (subprocess.TimeoutExpired, OSError) as error:
                raise Unreached(f"{name} of PyPI: {error}") from error
            wheels = sorted(pathlib.Path(directory).glob("*.whl"))
            if ran.returncode or not wheels:
                raise Unreached(f"{name} of PyPI: {(ran.stderr.strip().splitlines() or ['no wheel'])[-1]}")
            with reading(f"{name} of PyPI"):
                return read_wheel(name, wheels[0])


def read_wheel(name, wheel):
    """What is needed of a wheel: its version, and the documents."""
    wanted = {
        "botocore": "botocore/data/lambda/2015-03-31/service-2.json.gz",
        "cfn-lint": "cfnlint/data/AdditionalSpecs/LmbdRuntimeLifecycle.json",
    }[name]
    with zipfile.ZipFile(wheel) as archive:
        try:
            data = plain(archive.read(wanted))
        except KeyError as error:
            raise Unreached(f"{name} of PyPI has no {wanted} any more") from error
        year, month, day = archive.getinfo(wanted).date_time[:3]
    version = wheel.name.split("-")[1]
    return {"version": version, "date": f"{year:04}-{month:02}-{day:02}", "document": json.loads(data)}


def xml(data, root):
    """The document's root, which must have this name: a page of a proxy or a web server is no metadata."""
    with reading("an XML document"):
        found = ElementTree.fromstring(plain(data))
    if found.tag != root:
        raise Unreached(f"a document of <{found.tag}>, not of <{root}>")
    return found


def plain(data):
    """Undoes gzip, if that is what it is."""
    if data[:2] != b"\x1f\x8b":
        return data
    unpacked = bytearray()
    while data:
        stream = zlib.decompressobj(wbits=31)
        unpacked += stream.decompress(data, MOST_BYTES + 1 - len(unpacked))
        if len(unpacked) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        if not stream.eof:
            raise EOFError("the gzip stream is cut off")
        data = stream.unused_data.lstrip(b"\0")
    return bytes(unpacked)


# Names and dates of runtimes.


def parse_names(service):
    """The values of Runtime in botocore's model of Lambda's API."""
    with reading("botocore's model of Lambda"):
        names = list(service["shapes"]["Runtime"]["enum"])
        if "provided.al2023" not in names or not all(isinstance(name, str) for name in names):
            raise ValueError("a Runtime without provided.al2023")
        return names


def parse_lifecycle(document):
    """The days of each runtime's end, by the keys of a baseline."""
    keys = {"deprecated": "deprecated", "create-block": "create-blocked", "update-block": "update-blocked"}
    with reading("cfn-lint's life cycle"):
        found = {
            name: {ours: days[theirs] for theirs, ours in keys.items() if days.get(theirs)}
            for name, days in document.items()
        }
        for day in (day for days in found.values() for day in days.values()):
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
                raise ValueError(f"`{day}` is no day")
            datetime.date.fromisoformat(day)
        if "provided.al2023" not in found:
            raise ValueError("no provided.al2023")
        return found


# Packages of Amazon Linux 2023.


def parse_releases(data, year=2023):
    """The releases in releasemd.xml, oldest first."""
    root = xml(data, "root")
    names = {release.get("version") for release in root.iter("release")}
    found = [name for name in names if name and re.fullmatch(rf"{year}\.\d+\.\d{{8}}", name)]
    if not found:
        raise Unreached(f"releasemd.xml names no release of Amazon Linux {year}")
    return sorted(found, key=release_key)


def release_key(release):
    return [int(part) for part in release.split(".")]


def parse_repomd(data):
    """The place of the primary metadata in a repository, and its digest."""
    for entry in xml(data, f"{REPO}repomd").iter(f"{REPO}data"):
        location, checksum = entry.find(f"{REPO}location"), entry.find(f"{REPO}checksum")
        if entry.get("type") == "primary" and location is not None and location.get("href"):
            if checksum is None:
                raise Unreached("repomd.xml has no checksum of the primary metadata")
            return location.get("href"), f"{checksum.get('type')}:{(checksum.text or '').strip()}"
    raise Unreached("repomd.xml names no primary metadata")


PROVIDE = re.compile(r"^(?P<soname>[^()\s]+\.so[^()\s]*)\((?P<node>[^()]*)\)\(64bit\)$")


def parse_primary(data, arch):
    """Of each package its newest build: the version, and the nodes of each library that it provides.

    `libc.so.6(GLIBC_2.35)(64bit)` is a node, `libc.so.6()(64bit)` the library itself.
    """
    root = xml(data, f"{COMMON}metadata")
    listed = root.findall(f"{COMMON}package")
    if str(len(listed)) != root.get("packages"):
        raise Unreached(f"metadata of {root.get('packages')} packages that has {len(listed)}")
    packages = {}
    with reading("the metadata of a package"):
        for package in listed:
            if package.findtext(f"{COMMON}arch") != ARCHES[arch]:
                continue
            version = package.find(f"{COMMON}version")
            build = (version.get("epoch") or "0", version.get("ver"), version.get("rel"))
            libraries = {}
            for entry in package.iterfind(f"{COMMON}format/{RPM}provides/{RPM}entry"):
                found = PROVIDE.match(entry.get("name"))
                if found:
                    nodes = libraries.setdefault(found["soname"], set())
                    if found["node"]:
                        nodes.add(found["node"])
            name = package.findtext(f"{COMMON}name")
            if name not in packages or build_key(packages[name][0]) < build_key(build):
                packages[name] = (build, libraries)
    if not packages:
        raise Unreached(f"metadata without a package for {ARCHES[arch]}")
    return packages


def build_key(build):
    """Orders builds as rpm does: numbers count more than words, `~` less than the end, and `^` more."""

    def key(word):
        if word.isdigit():
            return (4, int(word), "")
        return {"~": (0, 0, ""), "^": (2, 0, "")}.get(word, (3, 0, word))

    parts = [re.findall(r"[0-9]+|[a-z]+|[~^]", part.lower()) for part in build]
    return [[*(key(word) for word in part), (1, 0, "")] for part in parts]


def packages_of(web, release, arch, core=CORE):
    """The packages of a release for an architecture."""
    mirrors = web.get(f"{core}/mirrors/{release}/{ARCHES[arch]}/mirror.list")
    with reading(f"the mirror list of {release} on {arch}"):
        base = next((line.strip() for line in mirrors.decode().splitlines() if line.strip()), "")
    if not re.fullmatch(r"https://[!-~]+", base):
        raise Unreached(f"no mirror for {release} on {arch}")
    base = base if base.endswith("/") else base + "/"
    try:
        href, digest = parse_repomd(web.get(urllib.parse.urljoin(base, "repodata/repomd.xml")))
        place = urllib.parse.urljoin(base, href)
        return parse_primary(verified(web.get(place), digest, place), arch)
    except Unreached as error:
        raise Unreached(f"{release} on {arch}: {error}") from error


# Release notes.


def parse_notes(data):
    """The packages that the section "Minimal Container" of a release's notes updates; none in older notes."""
    packages = {}
    inside = False
    with reading("the release notes"):
        text = data.decode()
    if "release notes" not in text or text.lstrip().startswith("<"):
        raise Unreached("a document that is no release notes in Markdown")
    for line in text.splitlines():
        if line.startswith("#"):
            inside = line.lstrip("# ").strip() == "Minimal Container"
        row = re.fullmatch(r"\|\s+(\S+)-([^-\s]+)-([^-\s]+)\s+\|", line) if inside else None
        if row:
            name = row[1].replace("\\", "")
            packages[name] = f"{row[2]}-{row[3]}".replace("\\", "")
    return packages


# Images.


def parse_index(data):
    """The digest of the image for each architecture."""
    found = {}
    with reading("the index of images"):
        for manifest in json.loads(data)["manifests"]:
            platform = manifest.get("platform", {})
            arch = {"amd64": "x86_64", "arm64": "arm64"}.get(platform.get("architecture"))
            if arch and platform.get("os") == "linux":
                if arch in found:
                    raise Unreached(f"{REPOSITORY}:{TAG} has two images for {arch}")
                found[arch] = manifest["digest"]
    return found


def parse_manifest(data):
    """The digests of an image's configuration and of its layers, the lowest first."""
    with reading("the manifest of an image"):
        manifest = json.loads(data)
        return manifest["config"]["digest"], [layer["digest"] for layer in manifest["layers"]]


def parse_created(data):
    """The day on which an image was made."""
    with reading("the configuration of an image"):
        day = json.loads(data)["created"][:10]
        datetime.date.fromisoformat(day)
        return day


def image(web, arch, tool):
    """The digest and day of the image, and the names of the libraries that a capture of it finds."""
    answer = web.get(f"{REGISTRY}/token/?service=public.ecr.aws&scope=repository:{REPOSITORY}:pull")
    with reading("the registry's token"):
        headers = {"Authorization": f"Bearer {json.loads(answer)['token']}"}
    base = f"{REGISTRY}/v2/{REPOSITORY}"

    def blob(kind, digest, accept=None):
        address = f"{base}/{kind}/{digest}"
        return verified(web.get(address, {**headers, "Accept": accept} if accept else headers), digest, address)

    digest = parse_index(web.get(f"{base}/manifests/{TAG}", {**headers, "Accept": INDEX_TYPES})).get(arch)
    if not digest:
        raise Unreached(f"{REPOSITORY}:{TAG} has no image for {arch}")
    config, layers = parse_manifest(blob("manifests", digest, MANIFEST_TYPES))
    created = parse_created(blob("blobs", config))
    if web.samples:
        captured = web.get(f"{base}/captured/{arch}.baseline").decode()
        return {"digest": digest, "date": created, "sonames": parse_captured(captured)}
    with tempfile.TemporaryDirectory() as root:
        for layer in layers:
            data = blob("blobs", layer)
            with reading(f"the layer {layer}"):
                unpack(data, root)
        captured = capture(root, arch, tool)
    return {"digest": digest, "date": created, "sonames": parse_captured(captured)}


def unpack(data, root):
    """Unpacks a layer over what is there; the files that mark removals remove."""
    with tarfile.open(fileobj=io.BytesIO(plain(data))) as layer:
        for member in layer:
            path = pathlib.PurePosixPath(member.name)
            if path.name.startswith(".wh."):
                gone = pathlib.Path(root, path.parent, path.name.removeprefix(".wh."))
                if gone.is_symlink() or gone.is_file():
                    gone.unlink()
            elif member.isfile() or member.isdir() or member.issym() or member.islnk():
                # The filter refuses what would land outside, also through a link of an earlier layer.
                layer.extract(member, root, filter="tar")


def capture(root, arch, tool):
    if not tool:
        raise Unreached("an image needs the tool that captures it: `--tool PATH`")
    command = [tool, "baseline", "capture", "--root", root, "--name", f"image:{TAG}", "--arch", arch]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unreached(f"{tool}: {error}") from error
    if ran.returncode:
        raise Unreached(f"{' '.join(command)}: {ran.stderr.strip()}")
    return ran.stdout


def parse_captured(text):
    """The SONAMEs, or file names, of the libraries in a captured baseline."""
    names = set()
    path = None
    for line in text.splitlines():
        if line.startswith("elf "):
            path = line.split(" ", 1)[1]
            names.add(path.rsplit("/", 1)[1])
        elif line.startswith("  soname ") and path:
            names.discard(path.rsplit("/", 1)[1])
            names.add(line.split()[1])
    if not names:
        raise Unreached("a capture of an image that has no libraries")
    return names
