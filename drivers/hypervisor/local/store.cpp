// SPDX-License-Identifier: BSD-2-Clause
// The store's tree.
#include "drivers/hypervisor/local/store.hpp"

#include <algorithm>
#include <cerrno>

#include "hypervisord_client.h"

namespace librettos {

namespace {

constexpr DomId control_domain{0};

bool is_component_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view{"._@:+-"}.find(c) != std::string_view::npos;
}

// Takes the first component off "/a/b/c".
std::string_view take_component(std::string_view& path) {
    path.remove_prefix(1);
    std::size_t const end = std::min(path.find('/'), path.size());
    std::string_view const component = path.substr(0, end);
    path.remove_prefix(end);
    return component;
}

}  // namespace

bool is_store_path(std::string_view path) {
    if (path == "/")
        return true;
    if (path.empty() || path.size() > LVIF_HV_PATH_MAX || path.front() != '/')
        return false;
    while (!path.empty()) {
        std::string_view const component = take_component(path);
        if (component.empty() || component == "." || component == ".." ||
            !std::all_of(component.begin(), component.end(), is_component_byte))
            return false;
    }
    return true;
}

bool is_at_or_below(std::string_view path, std::string_view top) {
    if (top == "/")
        return true;
    return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

Store::Store() {
    root_.rights = Rights{control_domain, control_domain};
}

Store::Node const* Store::find(std::string_view path) const {
    if (path == "/")
        return &root_;
    Node const* node = &root_;
    while (node != nullptr && !path.empty()) {
        auto const child = node->children.find(take_component(path));
        node = child == node->children.end() ? nullptr : child->second.get();
    }
    return node;
}

Store::Rights Store::rights_at(std::string_view path) const {
    Rights rights = *root_.rights;
    Node const* node = &root_;
    while (path.size() > 1) {
        auto const child = node->children.find(take_component(path));
        if (child == node->children.end())
            break;
        node = child->second.get();
        rights = node->rights.value_or(rights);
    }
    return rights;
}

bool Store::may_read(DomId domain, std::string_view path) const {
    Rights const rights = rights_at(path);
    return domain == control_domain || domain == rights.owner || domain == rights.reader;
}

bool Store::may_write(DomId domain, std::string_view path) const {
    return domain == control_domain || domain == rights_at(path).owner;
}

std::optional<std::string_view> Store::read(std::string_view path) const {
    Node const* node = find(path);
    return node == nullptr ? std::nullopt : std::optional<std::string_view>{node->value};
}

int Store::write(DomId writer, std::string_view path, std::string_view value) {
    if (writer != control_domain && find(path) == nullptr) {
        auto const missing = static_cast<std::uint32_t>(std::count(path.begin(), path.end(), '/'));
        if (nodes_of(writer) + missing > nodes_per_domain_max)
            return -EDQUOT;
    }
    create(path).value = value;
    return 0;
}

void Store::permit(std::string_view path, Rights rights) {
    create(path).rights = rights;
}

Store::Node& Store::create(std::string_view path) {
    Node* node = &root_;
    Rights rights = *root_.rights;
    while (path.size() > 1) {
        std::string_view const name = take_component(path);
        auto child = node->children.find(name);
        if (child == node->children.end()) {
            child = node->children.emplace(name, std::make_unique<Node>()).first;
            child->second->charged = rights.owner;
            count(rights.owner, 1);
        }
        node = child->second.get();
        rights = node->rights.value_or(rights);
    }
    return *node;
}

bool Store::remove(std::string_view path) {
    std::size_t const slash = path.rfind('/');
    std::string_view const parent_path = slash == 0 ? "/" : path.substr(0, slash);
    auto* parent = const_cast<Node*>(find(parent_path));  // found through the const look-up of our own tree
    if (path == "/" || parent == nullptr)
        return false;
    auto const child = parent->children.find(path.substr(slash + 1));
    if (child == parent->children.end())
        return false;
    forget(*child->second);
    parent->children.erase(child);
    return true;
}

void Store::count(DomId domain, int change) {
    nodes_ += static_cast<std::uint64_t>(static_cast<std::int64_t>(change));
    if (domain == control_domain)
        return;
    auto const found = charges_.try_emplace(domain.value, 0).first;
    found->second += static_cast<std::uint32_t>(change);
    if (found->second == 0)
        charges_.erase(found);
}

void Store::forget(Node const& node) {
    count(node.charged, -1);
    for (auto const& [name, child] : node.children)
        forget(*child);
}

std::uint32_t Store::nodes_of(DomId domain) const {
    auto const found = charges_.find(domain.value);
    return found == charges_.end() ? 0 : found->second;
}

}  // namespace librettos
