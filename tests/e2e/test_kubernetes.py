# SPDX-License-Identifier: Apache-2.0
"""contrib/kubernetes as kubectl builds it, contrib/docker as buildah builds it, and both run for real by podman."""
import copy
import functools
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from conftest import BINARY, ROOT, Process, answer, answering
from containers import containers, good, run  # containers is a fixture
from exposition import PROTOBUF, gauge_family
from pki import Authority
from prometheus import PATIENCE
from npm import node_modules
from test_security import ADDRESS, GUARDED, OPEN, ask_there, elsewhere, serving  # elsewhere is a fixture

pytestmark = pytest.mark.xdist_group("containers")

KUBERNETES = ROOT / "contrib/kubernetes"
VERSION = re.search(r"version : '(.*)',", (ROOT / "meson.build").read_text())[1]
OVERLAYS = sorted(p.name for p in (KUBERNETES / "overlays").iterdir())


# kubectl.


def workloads(folder):
    """(kind, name) of what a folder of resources has, and the folders among them."""
    found = []
    for resource in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        if (folder / resource).is_dir():
            found += workloads(folder / resource)
        else:
            found += [(o["kind"], o["metadata"]["name"]) for o in yaml.safe_load_all((folder / resource).read_text())]
    return found


def component_patches(folder, component):
    """The patches of a component, written for each object that a target of theirs selects."""
    for patch in yaml.safe_load((component / "kustomization.yaml").read_text())["patches"]:
        for kind, name in workloads(folder):
            if patch["target"] == {"kind": kind}:
                text = yaml.safe_load((component / patch["path"]).read_text())
                path = folder / f"component-{kind}-{name}.yaml"
                path.write_text(yaml.safe_dump({**text, "kind": kind, "metadata": {"name": name}}))
                yield path.name


def for_old_kubectl(folder):
    """Says the same to kubectl before 1.21, as Debian 12 has it, whose kustomize calls folders bases, and files of
    patches patchesStrategicMerge, and knows no components."""
    changed = {}
    for path in folder.rglob("kustomization.yaml"):
        k = yaml.safe_load(path.read_text())
        if k["kind"] == "Component":
            continue
        resources, components = k.pop("resources"), k.pop("components", [])
        k["bases"] = [r for r in resources if (path.parent / r).is_dir()]
        k["resources"] = [r for r in resources if (path.parent / r).is_file()]
        k["patchesStrategicMerge"] = [patch["path"] for patch in k.pop("patches", [])]
        for component in components:
            k["patchesStrategicMerge"] += component_patches(path.parent, path.parent / component)
        changed[path] = yaml.safe_dump(k)
    for path, text in changed.items():
        path.write_text(text)


# One workload of each kind, one of them with init containers, and a Job.
EVERY_KIND = """
{apiVersion: apps/v1, kind: Deployment, metadata: {name: app}, spec: {selector: {matchLabels: {a: b}}, template: {
  metadata: {labels: {a: b}}, spec: {initContainers: [{name: first, image: "first:1"}], containers: [{name: app, image: "app:1"}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: store}, spec: {serviceName: store, selector: {matchLabels: {a: b}}, template: {
  metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: "app:1"}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: node}, spec: {selector: {matchLabels: {a: b}}, template: {
  metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: "app:1"}]}}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: once}, spec: {template: {
  spec: {restartPolicy: Never, containers: [{name: app, image: "app:1"}]}}}}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """build(overlay) is what kubectl makes of it; every-kind is a kustomization of the test's, with the component."""
    folder = tmp_path_factory.mktemp("kubernetes") / "k"
    shutil.copytree(KUBERNETES, folder)
    kinds = folder / "overlays/every-kind"
    kinds.mkdir()
    (kinds / "workloads.yaml").write_text(yaml.safe_dump_all(yaml.safe_load_all(EVERY_KIND)))
    (kinds / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["workloads.yaml"],
        "components": ["../../component"]}))
    if re.search(r"GitVersion:\"v1\.(1\d|20)\.", good("kubectl", "version", "--client")):
        for_old_kubectl(folder)

    @functools.cache
    def built(overlay):
        return list(yaml.safe_load_all(good("kubectl", "kustomize", folder / "overlays" / overlay)))
    return lambda overlay: copy.deepcopy(built(overlay))


def sidecar_of(objects):
    """The sidecar's container, and which list of the Pod it is in."""
    pod, = (o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment")
    assert [c["name"] for c in pod["containers"] if c["name"] == "app"] == ["app"]
    (place, container), = ((place, c) for place in ("initContainers", "containers") for c in pod.get(place, [])
                           if c["name"] == "scrapeshard")
    return place, container


@pytest.mark.parametrize("overlay", [overlay for overlay in OVERLAYS if overlay not in ("native", "classic")])
def test_overlays_have_the_native_sidecar(build, overlay):
    assert sidecar_of(build(overlay)) == sidecar_of(build("native"))


def test_component(build):
    """Every workload gets the sidecar, after the init containers that it has, and its Pods the label; a Job stays as it is."""
    _, sidecar = sidecar_of(build("native"))
    objects = {o["kind"]: o for o in build("every-kind")}
    first = {"name": "first", "image": "first:1"}
    for kind, others in (("Deployment", [first]), ("StatefulSet", []), ("DaemonSet", [])):
        template = objects[kind]["spec"]["template"]
        assert [c for c in template["spec"]["initContainers"] if c != first] == [sidecar]
        assert [c for c in template["spec"]["initContainers"] if c == first] == others
        assert template["spec"]["containers"] == [{"name": "app", "image": "app:1"}]
        assert template["metadata"]["labels"] == {"a": "b", **LABEL}
    assert "scrapeshard" not in json.dumps(objects["Job"])


@pytest.mark.parametrize("overlay", ["native", "classic"])
def test_overlay(build, overlay, process, elsewhere):
    place, container = sidecar_of(build(overlay))
    native = overlay != "classic"
    assert place == ("initContainers" if native else "containers")
    assert container.get("restartPolicy") == ("Always" if native else None)
    assert container["image"].endswith(f"scrapeshard:{VERSION}")
    assert "readinessProbe" not in container and "cpu" not in container["resources"]["limits"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True, "runAsUser": 65534,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    assert {p["name"]: p["containerPort"] for p in container["ports"]} == {"sharded-metrics": 19480, "shard-admin": 19481}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/-/healthy", "port": 19481}
    # The program takes the arguments. The cluster can probe it and read its metrics, and no more.
    args = [re.sub(r"listen-address=:\d+$", "listen-address=:0", a) for a in container["args"]]
    p = process(["ip", "netns", "exec", elsewhere, BINARY, *args])
    port = p.wait_line(r'"msg":"listening for administration","address":"[^"]*:(\d+)"')[1]
    assert {target: ask_there(elsewhere, ADDRESS, port, target) for target in OPEN + GUARDED} == \
        {**dict.fromkeys(OPEN, 200), **dict.fromkeys(GUARDED, 403)}


# The schemas of the API, and injection.


LABEL = {"scrapeshard/sidecar": "true"}
POLICY, BINDING = yaml.safe_load_all((KUBERNETES / "inject/mutatingadmissionpolicy.yaml").read_text())
KYVERNO = yaml.safe_load((KUBERNETES / "inject/kyverno.yaml").read_text())
PACKAGES = ("@bufbuild/cel@0.6.1", "@bufbuild/protobuf@2.17.0", "kubernetes-models@5.1.0", "@kubernetes-models/prometheus-operator@6.0.0")


def app_pod(annotations=None, **spec):
    metadata = {"name": "app", "labels": {"app": "app", **LABEL}, **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {**spec, "containers": [{"name": "app", "image": "app:1"}, *spec.get("containers", [])]}}


# What the test changes in good objects: (kind, a place in it, what is put there, the mistake).
WRONG = [("Deployment", ["spec", "template", "spec", "containers", 0], {"restartpolicy": "Always"}, "restartpolicy"),
         ("Prometheus", ["spec"], {"shards": "3"}, "/spec/shards"),
         ("PodMonitor", ["spec"], {"scrapeclass": "x"}, "scrapeclass"),
         ("ServiceMonitor", ["spec", "endpoints", 0], {"relabeling": []}, "relabeling"),
         ("MutatingAdmissionPolicy", ["spec", "mutations", 0], {"jsonPath": {}}, "jsonPath")]
PODS = {
    "bare": app_pod(), "with others": app_pod(initContainers=[{"name": "first", "image": "first:1"}]),
    "annotated": app_pod({"scrapeshard/upstream-port": "9000", "scrapeshard/upstream-path": "/stats", "scrapeshard/admin-port": "9999"}),
    "annotated for Prometheus": app_pod({"prometheus.io/port": "9000", "prometheus.io/path": "stats"}),
    "injected": app_pod(initContainers=[{"name": "scrapeshard", "image": "scrapeshard:1"}]),
    "classic": app_pod(containers=[{"name": "scrapeshard", "image": "scrapeshard:1"}]),
    "wrong port": app_pod({"scrapeshard/upstream-port": "http"}),
}


@pytest.fixture(scope="module")
def api(build):
    """(mistakes of our objects by kind and overlay, mistakes of wrong ones by kind, Pods after the policy)."""
    objects = [(f"{overlay} {o['kind']} {o['metadata']['name']}", o) for overlay in OVERLAYS for o in build(overlay)]
    objects += [("inject " + o["kind"], o) for o in (POLICY, BINDING)] + [(f"Pod {name}", p) for name, p in PODS.items()]
    wrong = []
    for kind, place, change, _ in WRONG:
        bad = copy.deepcopy(next(o for _, o in objects if o["kind"] == kind))
        at = bad
        for key in place:
            at = at[key]
        at.update(change)
        wrong.append(bad)
    given = {"objects": [o for _, o in objects] + wrong,
             "policies": [{"spec": POLICY["spec"], "object": p} for p in PODS.values()]}
    out = json.loads(good("node", ROOT / "tests/e2e/kubernetes.mjs", node_modules("npm-kubernetes", PACKAGES), input=json.dumps(given)))
    names = [name for name, _ in objects]
    return (dict(zip(names, out["objects"])), out["objects"][len(names):], dict(zip(PODS, out["policies"])))


def test_objects_follow_their_schemas(api):
    mistakes, _, _ = api
    assert len(mistakes) > 30 and {name: m for name, m in mistakes.items() if m} == {}


def test_schemas_find_mistakes(api):
    """Unknown fields among them."""
    _, wrong, _ = api
    for (kind, _, _, mistake), found in zip(WRONG, wrong):
        assert any(mistake in m for m in found), (kind, found)


def expected_sidecar(build, port=8080, path="/metrics", admin=19481):
    """The container of the component, for another service."""
    _, container = sidecar_of(build("native"))
    text = json.dumps(container).replace(":8080/metrics", f":{port}{path}").replace("19481", str(admin))
    return json.loads(text)


@pytest.mark.parametrize("name, others, service", [
    ("bare", [], {}), ("with others", [{"name": "first", "image": "first:1"}], {}),
    ("annotated", [], {"port": 9000, "path": "/stats", "admin": 9999}),
    ("annotated for Prometheus", [], {"port": 9000, "path": "/stats"})])
def test_injection(api, build, name, others, service):
    """The policy's own expressions, evaluated for Pods: they get the container that the component has, and nothing else
    changes."""
    pod, changed = PODS[name], api[2][name]
    assert changed == {**pod, "spec": {**pod["spec"], "initContainers": [*others, expected_sidecar(build, **service)]}}


@pytest.mark.parametrize("name", ["injected", "classic"])
def test_no_second_sidecar(api, name):
    assert api[2][name] is None


def test_a_wrong_annotation_harms_no_service(api):
    """The policy fails, which is ignored: the Pod starts without a sidecar."""
    assert "http" in api[2]["wrong port"]["error"] and POLICY["spec"]["failurePolicy"] == "Ignore"


def test_injection_is_for_pods_with_the_label():
    rule, = POLICY["spec"]["matchConstraints"]["resourceRules"]
    assert rule == {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    assert POLICY["spec"]["matchConstraints"]["objectSelector"] == {"matchLabels": LABEL}
    assert BINDING["spec"] == {"policyName": POLICY["metadata"]["name"]}


def test_kyverno_does_the_same():
    """Its policy has the same spec; only for Kyverno's own controllers it says that Pods alone are meant."""
    own = KYVERNO["spec"].pop("autogen")
    assert own == {"podControllers": {"controllers": []}} and KYVERNO["spec"] == POLICY["spec"]


# Images.


@pytest.fixture(scope="module")
def image(containers):
    """The image that contrib/docker/build makes."""
    tag = f"localhost/scrapeshard:{VERSION}"
    assert tag in good(ROOT / "contrib/docker/build", env=containers)
    return tag


def test_image_is_small(containers, image):
    """On the disk, most of it OpenSSL, libc and what Debian's libcurl is linked with; and as a registry sends it. The
    README says how large, rounded up."""
    size, user = good("podman", "image", "inspect", "--format", "{{.Size}} {{.Config.User}}", image,
                      env=containers).split()
    sent = int(good("sh", "-c", f"podman save {image} | gzip -6 | wc -c", env=containers))
    print(f"image: {int(size) / 2**20:.2f} MiB, compressed {sent / 2**20:.2f} MiB")
    told = re.search(r"(\d+) MiB to pull, (\d+) MiB on\s+the disk", (ROOT / "contrib/docs/kubernetes.md").read_text())
    assert sent <= int(told[1]) * 2**20 and int(size) <= int(told[2]) * 2**20 <= 20 * 2**20
    assert user == "65534:65534"


def test_image_has_what_it_needs_and_no_more(containers, image):
    root = pathlib.Path(good("podman", "image", "mount", image, env=containers).strip())
    files = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
    assert not [p for p in files if p.stat().st_mode & 0o7022 or p.stat().st_uid]
    assert b"BEGIN CERTIFICATE" in (root / "etc/ssl/certs/ca-certificates.crt").read_bytes()
    assert [p.name for p in files if p.parent.name == "bin"] == ["scrapeshard"]
    assert {str(p.relative_to(root).parents[0]) for p in files} <= \
        {"usr/bin", "etc", "etc/ssl/certs", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib"}
    good("podman", "image", "unmount", image, env=containers)


def check_bill(path, arch, root):
    """A bill of materials: what SPDX 2.3 asks for, and every file of an image with its checksum and its package."""
    bill = json.loads(path.read_text())
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["SPDXID"] == "SPDXRef-DOCUMENT"
    assert re.fullmatch(r"https://\S+", bill["documentNamespace"]) and bill["creationInfo"]["creators"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["creationInfo"]["created"])
    files, packages = bill["files"], bill["packages"]
    ids = [e["SPDXID"] for e in files + packages]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    digests = {"." + "/" + str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
               for p in root.rglob("*") if p.is_file() and not p.is_symlink()}
    assert {f["fileName"]: {c["algorithm"]: c["checksumValue"] for c in f["checksums"]}["SHA256"] for f in files} == digests
    names = {p["name"]: p for p in packages}
    assert {"scrapeshard", "libc6", "libcurl4", "libssl3", "ca-certificates"} <= set(names) and not {"libldap-2.5-0", "librtmp1"} & set(names)
    assert names["scrapeshard"]["versionInfo"] == VERSION
    assert re.fullmatch(rf"pkg:deb/debian/libc6@[\w.%-]+\?arch={arch}", names["libc6"]["externalRefs"][0]["referenceLocator"])
    relations = [(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in bill["relationships"]]
    assert sorted(to for _, kind, to in relations if kind == "CONTAINS") == sorted(f["SPDXID"] for f in files)
    assert {i for relation in relations for i in (relation[0], relation[2])} == {*ids, "SPDXRef-DOCUMENT"}
    return names


def test_bill_of_materials(containers, image):
    """It is beside the image, and Debian's database says the same of the packages."""
    root = pathlib.Path(good("podman", "image", "mount", image, env=containers).strip())
    arch = good("dpkg", "--print-architecture").strip()
    names = check_bill(ROOT / f"build/image-{arch}.spdx.json", arch, root)
    for name, package in names.items():
        assert name == "scrapeshard" or package["versionInfo"] == good("dpkg-query", "-W", "-f", "${Version}", name)
    good("podman", "image", "unmount", image, env=containers)


@pytest.mark.skipif("ALL" not in os.environ, reason="the cross-build for arm64 takes a minute: tests/run --all")
def test_image_for_arm64(containers, upstream, process):
    """Cross-built, with its bill, and run by qemu: a shard is that of this machine, to the byte, cut by hand or served."""
    environment = {k: v for k, v in containers.items() if k != "SCRAPESHARD"}
    tag = f"localhost/scrapeshard:{VERSION}-arm64"
    assert tag in good(ROOT / "contrib/docker/build", "--arch=arm64", env=environment)
    assert good("podman", "image", "inspect", "--format", "{{.Architecture}} {{.Config.User}}", tag,
                env=containers).split() == ["arm64", "65534:65534"]
    root = pathlib.Path(good("podman", "image", "mount", tag, env=containers).strip())
    check_bill(ROOT / "build/image-arm64.spdx.json", "arm64", root)
    program = root / "usr/bin/scrapeshard"
    assert program.read_bytes()[18:20] == b"\xb7\0"  # an ELF file for AArch64
    emulated = ["qemu-aarch64-static", "-L", root, program]
    body = (ROOT / "tests/cases/prometheus-text-9of80.in").read_bytes()
    shard = subprocess.run([BINARY, "split", "--shard=1", "--shard-count=3"], input=body, capture_output=True, check=True).stdout
    split = subprocess.run([*emulated, "split", "--shard=1", "--shard-count=3"], input=body, capture_output=True, check=True)
    assert split.stdout == shard
    service = upstream(answering(answer(body)))
    p = process([*emulated, f"--upstream.url={service.url}", "--web.listen-address=127.0.0.1:0", "--admin.listen-address=off"])
    address = p.wait_line(r'msg="listening for scrapes" address=(\S+)', PATIENCE)[1]
    assert good("curl", "-sSf", f"http://{address}/metrics?shard=1&shard_count=3").encode() == shard
    good("podman", "image", "unmount", tag, env=containers)


def test_build_refuses_junk():
    r = run(ROOT / "contrib/docker/build", "--arch=riscv64")
    assert r.returncode == 2 and "--arch=arm64" in r.stderr


def test_image_runs(containers, image, upstream):
    """Read-only, without any capability, as nobody, under the runtime's own seccomp profile: it finds its service by name,
    and ends as it should."""
    service = upstream(answering(answer(b"a 1\nb 2\n")))
    p = Process(["podman", "run", "--rm", "--name=scrapeshard-run", "--read-only", "--cap-drop=ALL", "--network=host", image,
                 f"--upstream.url={service.url.replace('127.0.0.1', 'localhost')}", "--web.listen-address=127.0.0.1:0",
                 "--admin.listen-address=off"], env=containers)
    try:
        address = p.wait_line(r'msg="listening for scrapes" address=(\S+)', PATIENCE)[1]
        assert good("curl", "-sSf", f"http://{address}/metrics") == "a 1\nb 2\n"
        pid = good("podman", "inspect", "--format", "{{.State.Pid}}", "scrapeshard-run", env=containers).strip()
        status = dict(re.findall(r"(\w+):\s+(.*)", pathlib.Path(f"/proc/{pid}/status").read_text()))
        assert status["Uid"].split() == ["65534"] * 4 and int(status["CapEff"], 16) == 0
        assert int(status["Seccomp_filters"]) >= 2  # the runtime's, and the program's own
    finally:
        assert p.stop(timeout=2 * PATIENCE) == 0, p.lines


def test_image_speaks_tls(containers, image, upstream, tmp_path):
    """Both ways with certificates of both sides, the service's vouched for by the authorities that the image has; in
    protobuf, compressed."""
    ca = Authority(tmp_path, "ca")
    server, client = ca.issue("server", "DNS:localhost,IP:127.0.0.1"), ca.issue("client")
    tmp_path.chmod(0o755)
    for path in ca.directory.iterdir():
        path.chmod(0o644)
    family = gauge_family("up", {str(i): i for i in range(1000)})

    def serve(u, connection):
        with serving(server, ca).wrap_socket(connection, server_side=True) as t:
            while u.read_request(t):
                t.sendall(answer(family, PROTOBUF))
    service = upstream(serve)
    p = Process(["podman", "run", "--rm", "--read-only", "--cap-drop=ALL", "--network=host", f"--volume={ca.directory}:/pki:ro",
                 f"--volume={ca.pem}:/etc/ssl/certs/ca-certificates.crt:ro", image,
                 f"--upstream.url={service.url.replace('http:', 'https:')}",
                 "--web.listen-address=127.0.0.1:0", "--admin.listen-address=off",
                 *(f"--set={setting}" for setting in (
                     "web.tls_certificate=/pki/server.pem", "web.tls_key=/pki/server.key", "web.tls_client_ca=/pki/ca.pem",
                     "endpoint.default.tls_certificate=/pki/client.pem", "endpoint.default.tls_key=/pki/client.key"))],
                env=containers)
    try:
        address = p.wait_line(r'msg="listening for scrapes" address=(\S+)', PATIENCE)[1]
        out = tmp_path / "out"
        curl = ["curl", "-sS", "--cacert", ca.pem, "-H", "Accept-Encoding: gzip", "-o", out, "-w", "%{http_code}"]
        assert good(*curl, "--cert", client[0], "--key", client[1], f"https://{address}/metrics") == "200"
        assert gzip.decompress(out.read_bytes()) == family
        assert run(*curl, f"https://{address}/metrics").returncode, "a scraper without a certificate came in"
    finally:
        assert p.stop(timeout=2 * PATIENCE) == 0, p.lines


# What stands in for LDAP and RTMP.


LIBCURL = re.search(r"libcurl.* => (\S+)", good("ldd", BINARY))[1]
once = pytest.mark.skipif("build/" not in BINARY, reason="images are made of the ordinary build, once")


def collected(folder, program=BINARY, docker=ROOT / "contrib/docker"):
    """What the image would have of a program: its folder, and what was complained of."""
    r = run(docker / "collect", program, folder / "root")
    assert r.returncode == 0, r.stdout + r.stderr
    return folder / "root", r.stderr


@once
def test_absent_libraries_are_not_there(tmp_path):
    root, complaints = collected(tmp_path)
    names = {p.name.split(".")[0] for p in root.rglob("lib*.so*")}
    assert complaints == "" and "libcurl" in names and not names & {"libgnutls", "libsasl2", "libgmp", "libp11-kit"}
    assert sum(p.stat().st_size for p in root.rglob("lib[rl][tdb]*.so*")) < 64 * 1024
    assert good("chroot", root, "/usr/bin/scrapeshard", "--version") == good(BINARY, "--version")


@once
@pytest.mark.parametrize("url, status", [("ldap://127.0.0.1/a", 3), ("ldaps://127.0.0.1/a", 3), ("rtmp://127.0.0.1/a", 27)])
def test_absent_functions_fail(tmp_path, url, status):
    """curl, which allows these protocols, ends with an error, and by no signal."""
    root, _ = collected(tmp_path, "/usr/bin/curl")
    r = run("chroot", root, "/usr/bin/curl", "-sS", url)
    assert r.returncode == status and r.stderr.startswith("curl: "), r


@once
@pytest.mark.parametrize("name", ["RTMP_Read", "ldap_result", "ber_free"])
def test_without_one_absent_function_all_come_along(tmp_path, name):
    shutil.copytree(ROOT / "contrib/docker", tmp_path / "docker")
    source = tmp_path / "docker/absent.c"
    source.write_text(source.read_text().replace(f"FAILS({name})\n", ""))
    root, complaints = collected(tmp_path, docker=tmp_path / "docker")
    assert f"undefined symbol: {name}" in complaints and f"absent.c is not right for {LIBCURL}" in complaints
    assert list(root.rglob("libgnutls.so*"))
    assert good("chroot", root, "/usr/bin/scrapeshard", "--version") == good(BINARY, "--version")


@once
def test_absent_has_no_more_than_is_needed():
    """And the program forbids libcurl what it is for."""
    wanted = set(re.findall(r"U ((?:RTMP|ldap|ber)_\w+)", good("nm", "-D", "--undefined-only", LIBCURL)))
    assert wanted and wanted == set(re.findall(r"^(?:FAILS|GIVES_NOTHING)\((\w+)\)",
                                               (ROOT / "contrib/docker/absent.c").read_text(), re.M))
    code = "".join(path.read_text() for path in (ROOT / "sidecar").rglob("*.c"))
    assert code.count("curl_easy_init()") == code.count('CURLOPT_PROTOCOLS_STR, "http,https"') == 1


# Pods.


def test_pod_is_the_classic_one(build):
    """What the script runs is the sidecar of the overlay, without probes and ports."""
    _, classic = sidecar_of(build("classic"))
    app, sidecar = yaml.safe_load((KUBERNETES / "try.yaml").read_text())["spec"]["containers"]
    assert app["name"] == "app"
    assert sidecar == {**{key: value for key, value in classic.items()
                          if key not in ("ports", "startupProbe", "livenessProbe")},
                       "image": f"localhost/scrapeshard:{VERSION}"}


def test_pod_runs(containers, image):
    """The script that shows a Pod, with its Prometheus."""
    r = run(KUBERNETES / "try", "--once", env=containers, timeout=240)
    assert r.returncode == 0, r.stdout + r.stderr
    asked = [int(n) for n in re.findall(r"shard=\d&shard_count=3 +\d+ bytes +([1-9]\d*) series", r.stdout)]
    scraped = [int(n) for n in re.findall(r"shard \d is up, with (\d+) series", r.stdout)]
    assert len(asked) == len(scraped) == 3 and min(scraped) > 0
    assert "Failed to connect" in r.stdout
    assert "scrapeshard-try" not in good("podman", "ps", "--all", env=containers)
