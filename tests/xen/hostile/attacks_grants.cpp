// SPDX-License-Identifier: BSD-2-Clause
// Attacks by grants: references and directories that lie.
#include <numeric>

#include "tests/hostile/attempts.hpp"
#include "tests/xen/hostile/raw_grants.hpp"
#include "tests/xen/hostile/xen_attacks.hpp"

namespace librettos::hostile {

namespace {

using Json = nlohmann::json;
using References = std::vector<std::uint32_t>;

constexpr std::uint32_t ring_pages = 1 + LVIF_RING_MIN_CAPACITY / LVIF_PAGE_BYTES;
constexpr std::uint32_t long_ring_bytes = 8U << 20;  // the most that the lab's server takes: three directory pages
constexpr std::uint32_t long_ring_pages = 1 + long_ring_bytes / LVIF_PAGE_BYTES;
constexpr char tx_ring[] = "queue-0/" LVIF_KEY_TX_RING;
constexpr char rx_ring[] = "queue-0/" LVIF_KEY_RX_RING;

void offer(Rogue& rogue, char const* key, std::uint32_t reference) {
    rogue.write(key, std::to_string(reference));
}

void write_ring_header(RawGrants const& grants, std::size_t page, std::uint32_t capacity) {
    auto& header = *reinterpret_cast<lvif_ring_header*>(grants.page(page));
    header.magic = LVIF_RING_MAGIC;
    header.version = LVIF_RING_VERSION;
    header.capacity = capacity;
}

// Numbers that are no grant of this domain's, or one for somebody else.
Json grants_wrong(Rogue&, Setting const& setting) {
    Attempts attempts{setting};
    for (std::uint32_t const reference : {9U, 500U, 65535U, 0x7fffffffU, 0xffffffffU})
        for (char const* key : {tx_ring, LVIF_KEY_CONTROL_TO_GUEST})
            attempts.make(std::string(key) + " never granted " + std::to_string(reference),
                          [&](Rogue& rogue) { offer(rogue, key, reference); });
    RawGrants const not_for_server(1, victim(setting), true);
    attempts.make("directory of another domain's", [&](Rogue& rogue) {
        write_directory(not_for_server, 0, not_for_server.references());
        offer(rogue, tx_ring, not_for_server.reference(0));
    });
    attempts.make("a page that was granted", [&](Rogue& rogue) {
        std::uint32_t reference = 0;
        {
            RawGrants const ended(1, RawGrants::server, true);
            reference = ended.reference(0);
        }
        offer(rogue, tx_ring, reference);
    });
    return attempts.result();
}

// Directories in order that list what cannot be mapped, or not for writing.
Json pages_wrong(Rogue&, Setting const& setting) {
    Attempts attempts{setting};
    RawGrants const directory(1, RawGrants::server, true);
    RawGrants const not_for_server(ring_pages, victim(setting), true);
    RawGrants const read_only(ring_pages, RawGrants::server, false);
    RawGrants const good(ring_pages, RawGrants::server, true);
    write_ring_header(read_only, 0, LVIF_RING_MIN_CAPACITY);
    write_ring_header(good, 0, LVIF_RING_MIN_CAPACITY);
    auto const attempt = [&](std::string const& what, References const& references) {
        attempts.make(what, [&](Rogue& rogue) {
            write_directory(directory, 0, references);
            offer(rogue, tx_ring, directory.reference(0));
        });
    };
    attempt("pages of another domain's", not_for_server.references());
    attempt("pages for reading only", read_only.references());
    auto mixed = good.references();
    mixed.back() = read_only.reference(0);
    attempt("last page for reading only", mixed);
    mixed.back() = not_for_server.reference(0);
    attempt("last page another domain's", mixed);
    mixed.back() = 0xffffffff;
    attempt("last page no grant", mixed);
    attempt("the directory for all pages", References(ring_pages, directory.reference(0)));
    References nonsense(ring_pages);
    std::iota(nonsense.begin(), nonsense.end(), 0xfffffff0U);
    attempt("nonsense", nonsense);
    attempts.make("control ring for reading only", [&](Rogue& rogue) {
        auto& ring = *reinterpret_cast<lvif_control_ring*>(read_only.page(1));
        ring.magic = LVIF_CONTROL_MAGIC;
        ring.version = LVIF_CONTROL_VERSION;
        write_directory(directory, 0, {read_only.reference(1)});
        offer(rogue, LVIF_KEY_CONTROL_TO_GUEST, directory.reference(0));
    });
    return attempts.result();
}

// Directories whose header lies.
Json directories_wrong(Rogue&, Setting const& setting) {
    Attempts attempts{setting};
    RawGrants const directory(1, RawGrants::server, true);
    RawGrants const ring(ring_pages, RawGrants::server, true);
    write_ring_header(ring, 0, LVIF_RING_MIN_CAPACITY);
    auto const attempt = [&](std::string const& what, auto change) {
        attempts.make(what, [&](Rogue& rogue) {
            write_directory(directory, 0, ring.references());
            change(directory.directory(0));
            offer(rogue, tx_ring, directory.reference(0));
        });
    };
    attempt("no magic", [](auto& page) { page.magic = 0; });
    attempt("version", [](auto& page) { page.version = 0xffffffff; });
    for (std::uint32_t const count : {0U, ring_pages - 1, ring_pages + 1, 1020U, 1021U, 0x40000000U, 0xffffffffU})
        attempt("count " + std::to_string(count), [&](auto& page) { page.count = count; });
    attempt("goes on with itself", [&](auto& page) { page.next = directory.reference(0); });
    attempt("goes on with nonsense", [](auto& page) { page.next = 0xffffffff; });
    References const same(LVIF_GRANTS_PER_DIRECTORY, ring.reference(0));
    for (std::uint32_t const next : {directory.reference(0), 0U, 0xfffffff0U})
        attempts.make("long ring, goes on with " + std::to_string(next), [&](Rogue& rogue) {
            write_directory(directory, 0, same, next);
            rogue.write(LVIF_KEY_RING_BYTES, std::to_string(long_ring_bytes));
            offer(rogue, tx_ring, directory.reference(0));
        });
    return attempts.result();
}

// One page under all references, of the longest rings, with a directory chain of one page per length: allowed, since it
// is the guest's own memory. What it does to itself then ends the connection at most.
Json one_page(Rogue& rogue, Setting const& setting) {
    RawGrants const pages(1, RawGrants::server, true);
    RawGrants const tx_chain(3, RawGrants::server, false);
    RawGrants const rx_chain(3, RawGrants::server, false);
    rogue.ask_for_offer();
    rogue.share_rings(1, LVIF_RING_MIN_CAPACITY);
    rogue.write(LVIF_KEY_RING_BYTES, std::to_string(long_ring_bytes));
    write_ring_header(pages, 0, long_ring_bytes);
    for (RawGrants const* chain : {&tx_chain, &rx_chain})
        for (std::uint32_t i = 0; i < 3; ++i)
            write_directory(*chain, i, References(lvif_directory_count(long_ring_pages, i), pages.reference(0)),
                            i < 2 ? chain->reference(i + 1) : 0);
    offer(rogue, tx_ring, tx_chain.reference(0));
    offer(rogue, rx_ring, rx_chain.reference(0));
    rogue.say_initialised();
    Json result{{"reason", rogue.await_detach(Milliseconds(200))}, {"mapped", rogue.is_connected()}};
    auto& header = *reinterpret_cast<lvif_ring_header*>(pages.page(0));
    for (auto const end = in(setting.time); before(end); pause(Milliseconds(1))) {
        __atomic_store_n(&header.head, header.tail + 4096, __ATOMIC_RELEASE);
        rogue.ring();
    }
    result["end"] = rogue.await_detach(Milliseconds(200));
    return result;
}

// The pages go while the server uses them; the kernel keeps them for as long.
Json grants_ended(Rogue& rogue, Setting const& setting) {
    std::vector<std::uint8_t> const frame(200, 0);
    Json result;
    result["unshare"] = lvif_hv_unshare(rogue.hv(), rogue.queue(0).rx.region);
    for (auto const end = in(setting.time); before(end);)
        rogue.send(frame, {});
    result["tx"] = lvif_hv_unshare(rogue.hv(), rogue.queue(0).tx.region);
    rogue.ring();
    pause(Milliseconds(200));
    result.update(still_there(rogue));
    return result;
}

}  // namespace

std::vector<Attack> grant_attacks() {
    return {
        {"grants-wrong", false, grants_wrong},
        {"pages-wrong", false, pages_wrong},
        {"directories-wrong", false, directories_wrong},
        {"one-page", false, one_page},
        {"grants-ended", true, grants_ended},
    };
}

}  // namespace librettos::hostile
