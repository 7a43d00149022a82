#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# add-to-tree on a tree of the same shape: what it adds, that it may be run twice, what it refuses.  ixv_add_to_tree.sh ADD-TO-TREE
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail()
{
    echo "$*"
    exit 1
}
refuses()
{
    if "$add" "$tree" >/dev/null 2>"$work/error"; then
        fail "accepted: $1"
    fi
    grep -q "$1" "$work/error" || fail "the refusal says nothing of '$1': $(cat "$work/error")"
}

add=$1
tree=$work/tree
components=$tree/sys/rump/dev/lib
driver=$tree/sys/dev/pci/ixgbe/ixv.c
mkdir -p "$components/libpci" "$(dirname "$driver")"
refuses 'is no NetBSD tree'
touch "$components/component_simple.c" "$components/libpci/Makefile" "$driver"
refuses 'another NetBSD'
echo 'if_percpuq_enqueue(ifp->if_percpuq, m);' >"$driver"
refuses 'another NetBSD'
echo '.ifdef RUMPCOMP_MAKEFILEINC_rumpdev_pci' >"$components/libpci/Makefile"
cp -r "$tree" "$work/before"

"$add" "$tree" >"$work/said"
component=$components/libpci_if_ixv
grep -q "RUMPCOMP_MAKEFILEINC_rumpdev_pci=$component/pci/pci.mk" "$work/said" || fail "it does not say how to build: $(cat "$work/said")"
cp -r "$tree" "$work/once"
"$add" "$tree" >/dev/null
diff -r "$tree" "$work/once" || fail "the second run changed something"

# Everything of ours that is compiled is there, and what is included by our name.
sources=$(sed -n 's/^SRCS+=[[:space:]]*//p' "$component/Makefile" | tr ' ' '\n' | grep '^kernel_')
[ "$(echo "$sources" | wc -l)" = 2 ] || fail "another list of sources: $sources"
for file in $sources PCI_IF_IXV.ioconf opt/opt_inet.h opt/opt_inet6.h pci/pci.mk pci/rumpcomp_userfeatures_pci.h \
    $(cd "$component" && sed -n 's/^#include "\(hypercalls.*\)"/\1/p' $sources); do
    [ -f "$component/$file" ] || fail "$file is missing"
done

# The mending of the driver takes the lines that it names, where it names them, and no others.
mend=$(sed -n "/^ixv_mended.c:/,/ALLSRC/p" "$component/Makefile" | sed -n "s/^[[:space:]]*-e '\(.*\)' .*/\1/p" | sed 's/\$\$/$/g')
[ "$(echo "$mend" | wc -l)" = 2 ] || fail "no mending: $mend"
printf '%s\n' 'ixv_txeof(struct tx_ring *txr)' '{' '	tx_buffer->m_head = NULL;' '	tx_buffer->map = NULL;' '}' \
    'ixv_refresh_mbufs(struct rx_ring *rxr, int limit)' '{' '	} else' '		mp = rxbuf->m_pack;' '	mp->m_len = 1;' '}' \
    'ixv_free(void)' '{' '	} else' '		mp = rxbuf->m_pack;' '	tx_buffer->map = NULL;' '}' >"$work/driver"
printf '%s\n' 'ixv_txeof(struct tx_ring *txr)' '{' '	tx_buffer->m_head = NULL;' '}' \
    'ixv_refresh_mbufs(struct rx_ring *rxr, int limit)' '{' '	}' '	mp->m_len = 1;' '}' \
    'ixv_free(void)' '{' '	} else' '		mp = rxbuf->m_pack;' '	tx_buffer->map = NULL;' '}' >"$work/expected"
sed -e "$(echo "$mend" | sed -n 1p)" -e "$(echo "$mend" | sed -n 2p)" "$work/driver" | diff - "$work/expected" ||
    fail "the driver is not mended"

# Nothing that was there is another.
rm -r "$component"
diff -r "$tree" "$work/before" || fail "it changed what the tree had"
