// SPDX-License-Identifier: BSD-2-Clause
#include "tests/bench/null_port.hpp"

#include <rte_ethdev.h>

#include <stdexcept>
#include <string>

namespace librettos::bench {

NullPort::NullPort(rte_mempool* pool) {
    constexpr char name[] = "net_null0";
    rte_eth_conf const configuration{};
    int status = rte_eal_hotplug_add("vdev", name, "");
    if (status == 0)
        status = rte_eth_dev_get_port_by_name(name, &id_);
    if (status == 0)
        status = rte_eth_dev_configure(id_, 1, 1, &configuration);
    if (status == 0)
        status = rte_eth_rx_queue_setup(id_, 0, 1024, SOCKET_ID_ANY, nullptr, pool);
    if (status == 0)
        status = rte_eth_tx_queue_setup(id_, 0, 1024, SOCKET_ID_ANY, nullptr);
    if (status == 0)
        status = rte_eth_dev_start(id_);
    if (status != 0)
        throw std::runtime_error(std::string("cannot make ") + name + ": " + rte_strerror(-status));
}

NullPort::~NullPort() {
    rte_eth_dev_stop(id_);
}

}  // namespace librettos::bench
