// SPDX-License-Identifier: BSD-2-Clause
// Making a guest's device: content, rights, refusals, all or nothing.
#include "drivers/hypervisor/xen/attach_device.hpp"

#include "tests/unit/xen/on_xen.hpp"

namespace librettos::test {

namespace {

class Attach : public OnXen {
  protected:
    int attach() {
        return errno_of([&] { make_device_directories(store, DomId{xen.server}, guest.domain, {{"domain", "web"}}); });
    }

    XenStore store;
    XenGuest guest{"web"};
};

TEST_F(Attach, MakesBothDirectoriesWithXlsRights) {
    ASSERT_EQ(attach(), 0);
    auto const id = guest.domain.value;
    EXPECT_EQ(xen.value(guest.frontend() + "/backend"), guest.backend());
    EXPECT_EQ(xen.value(guest.frontend() + "/backend-id"), "0");
    EXPECT_EQ(xen.value(guest.frontend() + "/state"), "1");
    EXPECT_EQ(guest.offered("frontend"), guest.frontend());
    EXPECT_EQ(guest.offered("frontend-id"), std::to_string(id));
    EXPECT_EQ(guest.offered("domain"), "web");
    EXPECT_EQ(guest.offered("state"), "1");
    EXPECT_TRUE(xen.may_write(id, guest.frontend() + "/state"));
    EXPECT_TRUE(xen.may_write(id, guest.frontend() + "/queue-0"));
    EXPECT_TRUE(xen.may_read(id, guest.backend() + "/state"));
    EXPECT_FALSE(xen.may_write(id, guest.backend() + "/state"));
    auto const& rights = xen.store.at(guest.frontend() + "/state").rights;
    ASSERT_EQ(rights.size(), 2U);
    EXPECT_EQ(rights[0].id, id);
    EXPECT_EQ(rights[0].perms, XS_PERM_NONE) << "other guests";
    EXPECT_EQ(rights[1].id, 0U);
    EXPECT_EQ(rights[1].perms, XS_PERM_READ);
    EXPECT_FALSE(xen.may_write(id, "/local/domain/" + std::to_string(id) + "/device"));
}

TEST_F(Attach, RefusesASecondDeviceAndADeadDomain) {
    ASSERT_EQ(attach(), 0);
    xen.set_node(guest.backend() + "/mac", "kept");
    EXPECT_EQ(attach(), EEXIST);
    EXPECT_EQ(guest.offered("mac"), "kept");
    guest.destroy();
    EXPECT_EQ(attach(), ENOENT);
}

TEST_F(Attach, ReplacesWhatADomainOfThisNumberLeft) {
    xen.set_node(guest.backend() + "/held", "1");
    xen.set_node(guest.frontend() + "/queues", "9");  // its device, without a state
    ASSERT_EQ(attach(), 0);
    EXPECT_FALSE(xen.has(guest.backend() + "/held"));
    EXPECT_FALSE(xen.has(guest.frontend() + "/queues"));
}

TEST_F(Attach, EachCallMayFailAndLeavesNothing) {
    for (std::uint64_t n = 1;; ++n) {
        SCOPED_TRACE("call " + std::to_string(n));
        xen.fail_call(n, ENOSPC);
        auto const faults = xen.faults;
        int const error = attach();
        if (xen.faults == faults) {
            EXPECT_EQ(error, 0);
            EXPECT_GT(n, 15U);
            break;
        }
        EXPECT_EQ(error, ENOSPC);
        EXPECT_FALSE(xen.has(guest.frontend()));
        EXPECT_FALSE(xen.has(guest.backend()));
        EXPECT_EQ(xen.open_transactions, 0);
    }
}

}  // namespace

}  // namespace librettos::test
