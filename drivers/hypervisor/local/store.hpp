// SPDX-License-Identifier: BSD-2-Clause
// The store's tree: values by path, who may read and write them, and how much each domain has put there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "portmap/domain_id.hpp"

namespace librettos {

// Absolute, components of [A-Za-z0-9._@:+-] divided by single slashes, none of them "." or "..", no slash at the end
// ("/" itself excepted), at most LVIF_HV_PATH_MAX bytes.
bool is_store_path(std::string_view path);
// `path` is `top` or lies below it; both are store paths.
bool is_at_or_below(std::string_view path, std::string_view top);

class Store {
  public:
    struct Rights {
        DomId owner;   // may read and write
        DomId reader;  // may read
    };

    static constexpr std::uint32_t nodes_per_domain_max = 1024;

    Store();

    // Rights of a path: those of the nearest node at or above it that has some. The control domain may do everything.
    bool may_read(DomId domain, std::string_view path) const;
    bool may_write(DomId domain, std::string_view path) const;

    bool exists(std::string_view path) const { return find(path) != nullptr; }
    std::optional<std::string_view> read(std::string_view path) const;
    // Creates what is missing on the way. Nodes count for the domain that owns them by the rights of their place. When
    // `writer` is not the control domain: -EDQUOT if its nodes would become too many. 0 on success.
    int write(DomId writer, std::string_view path, std::string_view value);
    void permit(std::string_view path, Rights rights);
    // With all below. False: there was none.
    bool remove(std::string_view path);

    // Children of `path` in order, from the first one after `after` on: calls f(name) until it returns false.
    // False: no such path.
    template <typename F>
    bool each_child(std::string_view path, std::string_view after, F f) const {
        Node const* node = find(path);
        if (node == nullptr)
            return false;
        for (auto child = node->children.upper_bound(after); child != node->children.end(); ++child)
            if (!f(std::string_view{child->first}))
                break;
        return true;
    }

    std::uint64_t nodes() const { return nodes_; }
    std::uint32_t nodes_of(DomId domain) const;

  private:
    struct Node {
        std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
        std::string value;
        std::optional<Rights> rights;
        DomId charged;  // counts this node
    };

    Node const* find(std::string_view path) const;
    Rights rights_at(std::string_view path) const;
    Node& create(std::string_view path);
    void count(DomId domain, int change);
    void forget(Node const& node);

    Node root_;
    std::uint64_t nodes_ = 0;
    std::unordered_map<std::uint16_t, std::uint32_t> charges_;
};

}  // namespace librettos
