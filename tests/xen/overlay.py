# SPDX-License-Identifier: BSD-2-Clause
"""The project's programs for the lab's domains: a tree with /opt/librettos/{bin,build,tests} and the libraries that dom0's root lacks.

build/ has the layout of the build folder, so that scripts that take --build run in dom0 as they are.
"""

import pathlib
import shutil
import subprocess
import sys

from kernel_guest import build_module, kernel_version

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests/bench"))  # last: its modules have names that are taken here

from rump_build import build_peer, rump_libraries  # noqa: E402

SMOKE_SCRIPT = ROOT / "tests/smoke/in_xen.py"


def listed(what):
    """Lines of in_xen.py --list: its modules have names that are taken here."""
    return subprocess.run([sys.executable, "-B", SMOKE_SCRIPT, "--list", what], capture_output=True, text=True, check=True).stdout.split()


SMOKE_PROGRAMS = dict(line.split("=") for line in listed("programs"))
PROGRAMS = {
    **SMOKE_PROGRAMS,
    "lwip_guest": "tests/smoke",
    "librettos-rump-virt.so": "guest-frontend/rump",
    "librettos-portmap": "drivers/hypervisor/xen",
    "hostile_domu": "tests/xen/hostile",
    "portmap_call": "tests/xen/portmap",
    "portmap_hypercall_conformance": "tests/xen/portmap",
    "steering_test": "tests/unit/steering",
    "kernel_pf_steering_test": "tests/unit/steering",
}
# DPDK loads every driver of its folder at start: only those that the lab uses.
DRIVERS = ("bus_vdev", "bus_pci", "mempool_ring", "mempool_stack", "net_null", "net_e1000")
IN_DOMU = ("librettos-guest", "librettos-portmap", "smoke_echo", "portmap_call", "hostile_domu", "lwip_guest", "librettos-rump-virt.so")
IN_DRIVER_DOMAIN = ("librettos-netserver", "librettos-engine.so", "librettosctl")


def built(build, names=tuple(PROGRAMS)):
    """{name: path} of those of the project's programs that are in the build folder (none without one)."""
    paths = {name: pathlib.Path(build) / PROGRAMS[name] / name for name in names} if build else {}
    return {name: path for name, path in paths.items() if path.exists()}


def _libraries(to, unless_in, programs, but=()):
    subprocess.run([HERE / "prepare/libraries.py", "--to", to, "--unless-in", unless_in, *(f"--but={name}" for name in but), *programs], check=True)


def _install(source, target):
    """Without debug information: it is carried through an emulated machine."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    target.chmod(0o755)
    subprocess.run(["strip", "--strip-debug", target], check=True)


def for_dom0(build, work, folder, extra=()):
    """Makes the tree of what is built; `extra` are more executables for /opt/librettos/bin. Returns its path."""
    tree = pathlib.Path(folder) / "dom0-overlay"
    shutil.rmtree(tree, ignore_errors=True)
    installed = [pathlib.Path(path) for path in extra]
    for source in installed:
        _install(source, tree / "opt/librettos/bin" / source.name)
    (tree / "opt/librettos/bin").mkdir(parents=True, exist_ok=True)
    for name, source in built(build).items():
        _install(source, tree / "opt/librettos/build" / PROGRAMS[name] / name)
        if source.suffix != ".so":
            (tree / "opt/librettos/bin" / name).symlink_to(f"../build/{PROGRAMS[name]}/{name}")
        installed.append(source)
    shutil.copy(ROOT / "conf/xen/librettos-lvif-attach", tree / "opt/librettos/bin/")
    shutil.copytree(ROOT / "tests/smoke", tree / "opt/librettos/tests/smoke", ignore=shutil.ignore_patterns("__pycache__"))
    _libraries(tree, pathlib.Path(work) / "root", installed + _add_drivers(tree))
    return tree


def _add_drivers(tree):
    """Links in DPDK's driver folder, to the libraries' only copies: one that is loaded twice would register twice."""
    folder = next(pathlib.Path("/usr/lib/x86_64-linux-gnu/dpdk").glob("pmds-*"), None)
    if folder is None:
        return []
    drivers = []
    for name in DRIVERS:
        file = next(folder.glob(f"librte_{name}.so.*.*"))
        loaded_as = file.name.rsplit(".", 1)[0]
        library, link = tree / "usr/lib/x86_64-linux-gnu" / loaded_as, tree / str(file).lstrip("/")
        for path in (library, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, library)
        link.symlink_to(f"../../{loaded_as}")
        drivers.append(file)
    return drivers


def _archive(tree):
    """A cpio archive of the tree, beside it."""
    names = "\0".join(sorted(str(path.relative_to(tree)) for path in tree.rglob("*")))
    archive = tree.with_suffix(".cpio")
    with open(archive, "wb") as output:
        subprocess.run(["cpio", "--null", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names.encode(), stdout=output, check=True)
    return archive


def _for_initramfs(work, tree, sources, *, drivers=False, module=None):
    """Makes the tree with these executables and, if wanted, DPDK's drivers and a kernel module. Returns an archive of it that is appended
    to the lab's domu.cpio."""
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "opt/librettos/bin").mkdir(parents=True)
    for source in sources:
        _install(source, tree / "opt/librettos" / ("lib/librettos" if source.suffix == ".so" else "bin") / source.name)
    if loaded := sources + (_add_drivers(tree) if drivers else []):
        _libraries(tree, pathlib.Path(work) / "tmp/domu", loaded)
    if module:
        _install(module, tree / "lib/modules" / kernel_version(work) / "updates" / module.name)
        subprocess.run(["depmod", "-b", tree, kernel_version(work)], stderr=subprocess.DEVNULL, check=True)
    return _archive(tree)


def for_domu(build, work, folder, extra=()):
    """Makes the initramfs part with what domUs run. Returns the path of a cpio archive."""
    sources = [*built(build, IN_DOMU).values(), *(pathlib.Path(path) for path in extra)]
    return _for_initramfs(work, pathlib.Path(folder) / "domu-overlay", sources, module=build_module(build, work))


def for_driver_domain(build, work, folder):
    """The same of the server and its tool."""
    return _for_initramfs(work, pathlib.Path(folder) / "driver-domain-overlay", [*built(build, IN_DRIVER_DOMAIN).values()], drivers=True)


def for_rump_kernel(rump, work, folder):
    """The same of tests/bench/rump_peer.c, with the libraries of the rump kernel in the folder `rump` in /opt/librettos/lib/rump. NoRumpKernel."""
    tree = pathlib.Path(folder) / "rump-overlay"
    shutil.rmtree(tree, ignore_errors=True)
    program, libraries = tree / "opt/librettos/bin/rump_peer", tree / "opt/librettos/lib/rump"
    for path in (program.parent, libraries):
        path.mkdir(parents=True)
    build_peer(rump, program)
    theirs = [libraries / file.name for file in rump_libraries(rump)]
    for file in rump_libraries(rump):
        shutil.copy(file, libraries)
    _libraries(tree, pathlib.Path(work) / "tmp/domu", [program, *theirs], but=[file.name for file in theirs])
    return _archive(tree)
