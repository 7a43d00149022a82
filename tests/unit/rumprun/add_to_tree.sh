#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# add-to-tree on a tree of the same shape: what it changes, that it may be run twice, what it refuses.  add_to_tree.sh ADD-TO-TREE
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail()
{
    echo "$*"
    exit 1
}

tree=$work/tree
xen=$tree/platform/xen
mkdir -p "$xen/xen" "$xen/librumpnet_xenif" "$tree/app-tools" "$tree/lib/libbmk_core"
cat >"$xen/Makefile" <<'END'
INSTALLTGTS=	librumpnet_xenif_install
$(eval $(call BUILDLIB_target,librumpnet_xenif,.))
xenlibs: ${RROBJLIB}/librumpnet_xenif/librumpnet_xenif.a
END
printf 'GLOBAL_PREFIXES := _minios_ minios_\nGLOBAL_PREFIXES := $(patsubst %%,-G %%*, $(GLOBAL_PREFIXES))\n' >"$xen/xen/Makefile"
printf 'DEF_CFLAGS += -fno-builtin\nDEF_CPPFLAGS += -DVERSION\nCFLAGS := $(DEF_CFLAGS)\n' >"$xen/xen/minios.mk"
printf 'LIB=\t\tbmk_core\nCFLAGS+=\t-fno-stack-protector\n' >"$tree/lib/libbmk_core/Makefile"
echo 'conf xen_pv' >"$tree/app-tools/rumprun-bake.conf"

if "$1" "$tree" 2>"$work/error"; then
    fail "a tree without an interface of its own was accepted"
fi
grep -q 'is no rumprun tree' "$work/error" || fail "the refusal says nothing: $(cat "$work/error")"
touch "$xen/librumpnet_xenif/if_virt.c"

"$1" "$tree" >/dev/null
cp -r "$tree" "$work/once"
"$1" "$tree" >/dev/null
diff -r "$tree" "$work/once" || fail "the second run changed something"

[ "$(grep -c librumpnet_lvif "$xen/Makefile")" = 3 ] || fail "platform/xen/Makefile: $(cat "$xen/Makefile")"
[ "$(sed -n 2p "$xen/xen/Makefile")" = 'GLOBAL_PREFIXES += gnttab_' ] || fail "platform/xen/xen/Makefile: $(cat "$xen/xen/Makefile")"
[ "$(sed -n 3p "$xen/xen/minios.mk")" = 'DEF_CFLAGS += -mgeneral-regs-only' ] || fail "minios.mk: $(cat "$xen/xen/minios.mk")"
grep -q '^CFLAGS+=.-mgeneral-regs-only$' "$tree/lib/libbmk_core/Makefile" || fail "libbmk_core: $(cat "$tree/lib/libbmk_core/Makefile")"
grep -q '^conf xen_librettos$' "$tree/app-tools/rumprun-bake.conf" || fail "no configuration for baking"

# Everything that the component's Makefile compiles is there.
component=$xen/librumpnet_lvif
sources=$(sed -n 's/^\(RUMPCOMP_USER_\)\{0,1\}SRCS+*=[[:space:]]*//p' "$component/Makefile")
[ "$(echo "$sources" | wc -w)" -gt 20 ] || fail "no list of sources: $sources"
for source in $sources; do
    case $source in
    if_virt.c | xenif_component.c) continue ;;
    esac
    [ -f "$component/$source" ] || [ -f "$component/lvif/$source" ] || fail "$source is missing"
done
[ -f "$component/include/librettos/frontend.h" ] || fail "no headers"

sed -i 's/^GLOBAL_PREFIXES := _minios_/PREFIXES := /; /gnttab_/d' "$xen/xen/Makefile"
if "$1" "$tree" >/dev/null 2>"$work/error"; then
    fail "another rumprun was accepted"
fi
grep -q 'another rumprun' "$work/error" || fail "the refusal says nothing: $(cat "$work/error")"

if "$1" 2>"$work/error"; then
    fail "no tree was accepted"
fi
grep -q '^usage' "$work/error" || fail "no usage: $(cat "$work/error")"
