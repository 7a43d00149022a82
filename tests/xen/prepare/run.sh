#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Prepares the work folder of the Xen lab: run.sh WORK [patched] [flask], with these hypervisors besides the stock one. What is there already, by content, is not made again.
# Exit status 77 and a line "skipped: REASON" where the lab cannot be had.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
patched=("${@:2}")
. "$here/prepare/common.sh"
. "$here/prepare/suites.sh"
. "$here/prepare/host.sh"
. "$here/prepare/root.sh"
. "$here/prepare/images.sh"
. "$here/prepare/hypervisor.sh"

[[ $(uname -m) == x86_64 ]] || cannot "the lab emulates a PC with an x86 hypervisor; this machine is $(uname -m)"
[[ $(id -u) -eq 0 ]] || cannot "root is needed to install packages and to make the root tree: run it with sudo"
command -v apt-get >/dev/null && grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release ||
    cannot "the lab is made of Debian 12's packages; this system is another"
mkdir -p "$1"
work=$(cd "$1" && pwd)
free_mib=$(df --output=avail -BM "$work" | tail -n 1 | tr -dc 0-9)
[[ -f $work/images.key || $free_mib -ge 6000 ]] || cannot "$work has $free_mib MiB left, the lab needs 6000; XEN_WORK names another folder"

exec 9>"$work/lock"
flock 9
lab_apt_options
stage suites "$(cat "$here/prepare/suites.sh" <(date +%G-%V) | digest)" write_sources "no package lists of Debian's mirror"
stage host "$(cat "$here/prepare/host.sh" | digest)" host_packages "the packages that prepare/host.sh names cannot be installed"
[[ ${#patched[@]} -eq 0 ]] || start_hypervisors "${patched[@]}"
stage root "$(cat "$here/prepare/root.sh" <(root_versions) | digest)" make_root "dom0's root tree cannot be made of the mirror's packages"
stage images "$(cat "$work/root.key" "$here"/prepare/{images.sh,libraries.py} "$here"/dom0/*.sh "$here"/domu/*.sh | digest)" make_images
stage headers "$(kernel_version)" install_headers "the headers of the domUs' kernel cannot be installed"
[[ ${#patched[@]} -eq 0 ]] || finish_hypervisors "${patched[@]}"
