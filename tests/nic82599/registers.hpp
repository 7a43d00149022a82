// SPDX-License-Identifier: BSD-2-Clause
// Registers of the 82599 that the model gives a meaning, by the groups of the datasheet's chapter 8. Names are the
// datasheet's; [n] of an array became (n).
#pragma once

#include <cstdint>

namespace nic82599::reg {

using Offset = std::uint32_t;

constexpr std::uint32_t bit(unsigned n) {
    return std::uint32_t{1} << n;
}

// 8.2.3.1 general control
constexpr Offset CTRL = 0x0, STATUS = 0x8, CTRL_EXT = 0x18, ESDP = 0x20, I2CCTL = 0x28;
constexpr std::uint32_t CTRL_MASTER_DISABLE = bit(2), CTRL_LRST = bit(3), CTRL_RST = bit(26);
constexpr std::uint32_t STATUS_MASTER_ENABLE = bit(19);
constexpr std::uint32_t CTRL_EXT_PFRSTD = bit(14);
constexpr std::uint32_t ESDP_SDP2 = bit(2);  // a module sits in the cage

// 8.2.3.2 EEPROM and Flash
constexpr Offset EEC = 0x10010, EERD = 0x10014, EEMNGCTL = 0x10110;
// 8.2.3.4 PCIe; the software semaphores
constexpr Offset GCR_EXT = 0x11050, SWSM = 0x10140, SW_FW_SYNC = 0x10160;

// 8.2.3.5 interrupts
constexpr Offset EICR = 0x800, EICS = 0x808, EIAC = 0x810, EIMS = 0x880, EIMC = 0x888, EIAM = 0x890, GPIE = 0x898;
constexpr Offset EICS_EX(unsigned i) {
    return 0xA90 + 4 * i;
}
constexpr Offset EIMS_EX(unsigned i) {
    return 0xAA0 + 4 * i;
}
constexpr Offset EIMC_EX(unsigned i) {
    return 0xAB0 + 4 * i;
}
constexpr Offset EIAM_EX(unsigned i) {
    return 0xAD0 + 4 * i;
}
constexpr Offset IVAR(unsigned i) {
    return 0x900 + 4 * i;
}
constexpr Offset IVAR_MISC = 0xA00;
constexpr Offset EITR(unsigned vector) {
    return vector < 24 ? 0x820 + 4 * vector : 0x12300 + 4 * (vector - 24);
}
constexpr std::uint32_t EICR_QUEUES = 0xFFFF, EICR_FLOW_DIR = bit(16), EICR_RX_MISS = bit(17), EICR_MAILBOX = bit(19),
                        EICR_LSC = bit(20);
constexpr std::uint32_t GPIE_MULTIPLE_MSIX = bit(4), GPIE_EIAME = bit(30);
constexpr std::uint32_t IVAR_VALID = bit(7), IVAR_VECTOR = 0x3F;
constexpr std::uint32_t EITR_INTERVAL = 0xFF8, EITR_CNT_WDIS = bit(31);

// 8.2.3.7 receive
constexpr Offset FCTRL = 0x5080, VLNCTRL = 0x5088, RXCSUM = 0x5000, MRQC = 0xEC80;
constexpr Offset MTA(unsigned i) {
    return 0x5200 + 4 * i;
}
constexpr Offset RAL(unsigned i) {
    return 0xA200 + 8 * i;
}
constexpr Offset RAH(unsigned i) {
    return 0xA204 + 8 * i;
}
constexpr Offset MPSAR_LO(unsigned i) {
    return 0xA600 + 8 * i;
}
constexpr Offset MPSAR_HI(unsigned i) {
    return 0xA604 + 8 * i;
}
constexpr Offset VFTA(unsigned i) {
    return 0xA000 + 4 * i;
}
constexpr Offset RETA(unsigned i) {
    return 0xEB00 + 4 * i;
}
constexpr Offset RSSRK(unsigned i) {
    return 0xEB80 + 4 * i;
}
constexpr Offset ETQF(unsigned i) {
    return 0x5128 + 4 * i;
}
constexpr Offset ETQS(unsigned i) {
    return 0xEC00 + 4 * i;
}
constexpr std::uint32_t FCTRL_MPE = bit(8), FCTRL_UPE = bit(9), FCTRL_BAM = bit(10);
constexpr std::uint32_t VLNCTRL_VFE = bit(30), RAH_VALID = bit(31);
constexpr std::uint32_t RXCSUM_PCSD = bit(13);
constexpr std::uint32_t ETQF_ENABLE = bit(31), ETQS_QUEUE_ENABLE = bit(31);
constexpr std::uint32_t MRQC_TCP4 = bit(16), MRQC_IP4 = bit(17), MRQC_IP6 = bit(20), MRQC_TCP6 = bit(21),
                        MRQC_UDP4 = bit(22), MRQC_UDP6 = bit(23);

// 8.2.3.8 receive DMA. Offsets inside a queue's block, and the blocks.
constexpr Offset rx_queue(unsigned q) {
    return q < 64 ? 0x1000 + 0x40 * q : 0xD000 + 0x40 * (q - 64);
}
constexpr Offset BAL = 0x0, BAH = 0x4, LEN = 0x8, HEAD = 0x10, SRRCTL = 0x14, TAIL = 0x18, DCTL = 0x28;
constexpr Offset RDRXCTL = 0x2F00, PFQDE = 0x2F04, RXCTRL = 0x3000;
constexpr Offset RXPBSIZE(unsigned i) {
    return 0x3C00 + 4 * i;
}
constexpr std::uint32_t DCTL_ENABLE = bit(25), DCTL_SWFLSH = bit(26), RXDCTL_VME = bit(30);
constexpr std::uint32_t SRRCTL_DESCTYPE = 7u << 25, SRRCTL_DROP_EN = bit(28);
constexpr std::uint32_t PFQDE_ENABLE = bit(0), PFQDE_WRITE = bit(16), PFQDE_READ = bit(17);
constexpr std::uint32_t RDRXCTL_DMAIDONE = bit(3), RXCTRL_RXEN = bit(0);

// 8.2.3.9 transmit
constexpr Offset tx_queue(unsigned q) {
    return 0x6000 + 0x40 * q;
}
constexpr Offset WBAL = 0x38, WBAH = 0x3C;
constexpr Offset DMATXCTL = 0x4A80, DTXTCPFLGL = 0x4A88, DTXTCPFLGH = 0x4A8C, MTQC = 0x8120;
constexpr std::uint32_t DMATXCTL_TE = bit(0);

// 8.2.3.10 DCB and rate limits
constexpr Offset RTTDQSEL = 0x4904, RTTBCNRC = 0x4984;
constexpr std::uint32_t RTTBCNRC_RS_ENA = bit(31);

// 8.2.3.12 security
constexpr Offset SECTXSTAT = 0x8804, SECRXSTAT = 0x8D04;

// 8.2.3.21 flow director
constexpr Offset FDIRCTRL = 0xEE00, FDIRIPSA = 0xEE18, FDIRIPDA = 0xEE1C, FDIRPORT = 0xEE20, FDIRVLAN = 0xEE24,
                 FDIRHASH = 0xEE28, FDIRCMD = 0xEE2C, FDIRFREE = 0xEE38, FDIRDIP4M = 0xEE3C, FDIRSIP4M = 0xEE40,
                 FDIRTCPM = 0xEE44, FDIRUDPM = 0xEE48, FDIRLEN = 0xEE4C, FDIRUSTAT = 0xEE50, FDIRFSTAT = 0xEE54,
                 FDIRMATCH = 0xEE58, FDIRMISS = 0xEE5C, FDIRHKEY = 0xEE68, FDIRSKEY = 0xEE6C, FDIRM = 0xEE70;
constexpr std::uint32_t FDIRCTRL_INIT_DONE = bit(3), FDIRCTRL_PERFECT = bit(4), FDIRCTRL_REPORT = bit(5),
                        FDIRCTRL_REPORT_ALWAYS = bit(7);

// 8.2.3.22 MAC
constexpr Offset HLREG0 = 0x4240, MSCA = 0x425C, MSRWD = 0x4260, MAXFRS = 0x4268, AUTOC = 0x42A0, LINKS = 0x42A4,
                 AUTOC2 = 0x42A8, ANLP1 = 0x42B0;
constexpr std::uint32_t HLREG0_RXCRCSTRP = bit(1), HLREG0_JUMBOEN = bit(2), HLREG0_TXPADEN = bit(10);
constexpr std::uint32_t AUTOC_RESTART_AN = bit(12), MSCA_MDICMD = bit(30);
constexpr std::uint32_t LINKS_UP = bit(30), LINKS_10G = 3u << 28, LINKS_STATUS = bit(7);

// 8.2.3.23 statistics
constexpr Offset GPRC = 0x4074, BPRC = 0x4078, MPRC = 0x407C, GPTC = 0x4080, GORCL = 0x4088, GORCH = 0x408C,
                 GOTCL = 0x4090, GOTCH = 0x4094, RUC = 0x40A4, ROC = 0x40AC, TORL = 0x40C0, TORH = 0x40C4, TPR = 0x40D0,
                 TPT = 0x40D4, PRC64 = 0x405C, PTC64 = 0x40D8, MPTC = 0x40F0, BPTC = 0x40F4, SSVPC = 0x8780;
constexpr Offset MPC(unsigned i) {
    return 0x3FA0 + 4 * i;
}
constexpr Offset RQSMR(unsigned i) {
    return 0x2300 + 4 * i;
}
constexpr Offset TQSM(unsigned i) {
    return 0x8600 + 4 * i;
}
constexpr Offset QPRC(unsigned i) {
    return 0x1030 + 0x40 * i;
}
constexpr Offset QBRC_L(unsigned i) {
    return 0x1034 + 0x40 * i;
}
constexpr Offset QBRC_H(unsigned i) {
    return 0x1038 + 0x40 * i;
}
constexpr Offset QPRDC(unsigned i) {
    return 0x1430 + 0x40 * i;
}
constexpr Offset QPTC(unsigned i) {
    return 0x8680 + 4 * i;
}
constexpr Offset QBTC_L(unsigned i) {
    return 0x8700 + 8 * i;
}
constexpr Offset QBTC_H(unsigned i) {
    return 0x8704 + 8 * i;
}

// 8.2.3.27 virtualization, PF
constexpr Offset VT_CTL = 0x51B0, PFDTXGSWC = 0x8220;
constexpr Offset PFMAILBOX(unsigned vf) {
    return 0x4B00 + 4 * vf;
}
constexpr Offset PFMBMEM(unsigned vf) {
    return 0x13000 + 64 * vf;
}
constexpr Offset PFMBICR(unsigned i) {
    return 0x710 + 4 * i;
}
constexpr Offset PFMBIMR(unsigned i) {
    return 0x720 + 4 * i;
}
constexpr Offset PFVFLRE(unsigned i) {
    return 0x600 + 4 * i;
}
constexpr Offset PFVFLREC(unsigned i) {
    return 0x700 + 4 * i;
}
constexpr Offset PFVFRE(unsigned i) {
    return 0x51E0 + 4 * i;
}
constexpr Offset PFVFTE(unsigned i) {
    return 0x8110 + 4 * i;
}
constexpr Offset PFVFSPOOF(unsigned i) {
    return 0x8200 + 4 * i;
}
constexpr Offset PFVML2FLT(unsigned pool) {  // DPDK's VMOLR
    return 0xF000 + 4 * pool;
}
constexpr Offset PFVLVF(unsigned i) {
    return 0xF100 + 4 * i;
}
constexpr Offset PFVLVFB(unsigned i) {
    return 0xF200 + 4 * i;
}
constexpr Offset PFVMVIR(unsigned pool) {
    return 0x8000 + 4 * pool;
}
constexpr Offset PFUTA(unsigned i) {
    return 0xF400 + 4 * i;
}
// 8.3: each VF's counters, as the PF reads them: neither cleared by that nor stuck, they wrap
constexpr Offset PVFGPRC(unsigned vf) {
    return 0x101C + 0x40 * vf;
}
constexpr Offset PVFGORC_LSB(unsigned vf) {
    return 0x1020 + 0x40 * vf;
}
constexpr Offset PVFGORC_MSB(unsigned vf) {
    return 0xD020 + 0x40 * vf;
}
constexpr Offset PVFMPRC(unsigned vf) {
    return 0xD01C + 0x40 * vf;
}
constexpr Offset PVFGPTC(unsigned vf) {
    return 0x8300 + 4 * vf;
}
constexpr Offset PVFGOTC_LSB(unsigned vf) {
    return 0x8400 + 8 * vf;
}
constexpr Offset PVFGOTC_MSB(unsigned vf) {
    return 0x8404 + 8 * vf;
}
constexpr std::uint32_t VT_CTL_VT_ENA = bit(0), VT_CTL_DIS_DEF_POOL = bit(29), VT_CTL_RPL_EN = bit(30);
constexpr std::uint32_t VML2FLT_AUPE = bit(24), VML2FLT_ROMPE = bit(25), VML2FLT_ROPE = bit(26), VML2FLT_BAM = bit(27),
                        VML2FLT_MPE = bit(28);
constexpr std::uint32_t VLVF_VALID = bit(31), PFDTXGSWC_LBE = bit(0);
constexpr std::uint32_t VMVIR_ALWAYS = 1u << 30, VMVIR_ACTION = 3u << 30;
constexpr std::uint32_t PFMAILBOX_STS = bit(0), PFMAILBOX_ACK = bit(1), PFMAILBOX_VFU = bit(2), PFMAILBOX_PFU = bit(3),
                        PFMAILBOX_RVFU = bit(4);

// 8.3 what a VF sees, at offsets of its own
namespace vf {
constexpr Offset VTCTRL = 0x0, VTSTATUS = 0x8, VTLINKS = 0x10, VTEICR = 0x100, VTEICS = 0x104, VTEIMS = 0x108,
                 VTEIMC = 0x10C, VTEIAC = 0x110, VTEIAM = 0x114, VTIVAR_MISC = 0x140, VFMBMEM = 0x200,
                 VFMAILBOX = 0x2FC, RX_QUEUES = 0x1000, TX_QUEUES = 0x2000, VFGPRC = 0x101C, VFGORC_LSB = 0x1020,
                 VFGORC_MSB = 0x1024, VFMPRC = 0x1034, VFGPTC = 0x201C, VFGOTC_LSB = 0x2020, VFGOTC_MSB = 0x2024;
constexpr Offset VTIVAR(unsigned i) {
    return 0x120 + 4 * i;
}
constexpr std::uint32_t MAILBOX_REQ = bit(0), MAILBOX_ACK = bit(1), MAILBOX_VFU = bit(2), MAILBOX_PFU = bit(3),
                        MAILBOX_PFSTS = bit(4), MAILBOX_PFACK = bit(5), MAILBOX_RSTI = bit(6), MAILBOX_RSTD = bit(7);
}  // namespace vf

}  // namespace nic82599::reg
