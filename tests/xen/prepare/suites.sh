# SPDX-License-Identifier: BSD-2-Clause
# Debian's suites as this machine's apt has them: sources.list for apt of the lab (backports too) and for the root tree.

configured_suites() {
    apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | sort -u
}

write_sources() {
    local suites site release keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    suites=$(configured_suites)
    if [[ -z $suites ]]; then
        apt-get -q update
        suites=$(configured_suites)
    fi
    release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    site=$(awk -v release="$release" '$2 == release { print $1; exit }' <<<"$suites")
    if [[ -z $site ]]; then
        echo "apt has no source of Debian's $release"
        return 1
    fi
    awk -v key="$keyring" '{ print "deb [signed-by=" key "] " $1 " " $2 " " $3 }' <<<"$suites" >"$work/apt/release.list"
    { cat "$work/apt/release.list"; echo "deb [signed-by=$keyring] $site $release-backports main"; } >"$work/apt/sources.list"
    # How to reach it (proxies and the like), for apt inside a new tree.
    apt-config dump | grep -E '^Acquire::(http|https|Check|Retries|ForceIPv)' >"$work/apt/acquire.conf" || true
    apt-get "${lab_apt[@]}" update
}

candidate() { apt-cache "${lab_apt[@]}" policy "$1" | sed -n 's/^  Candidate: //p'; }
