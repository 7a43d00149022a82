// SPDX-License-Identifier: BSD-2-Clause
// General control, EEPROM, SFP, interrupts, faults.
#include "tests/nic82599/sfp.hpp"
#include "tests/unit/nic82599/bench_machine.hpp"

namespace nic82599 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class Control : public Bench {};

// 8.2.3.1.1, 4.2.1: RST clears itself and takes the configuration with it.
TEST_F(Control, SoftwareResetClearsItselfAndTheRegisters) {
    write(reg::FCTRL, reg::FCTRL_UPE);
    write(reg::CTRL, reg::CTRL_RST);
    EXPECT_EQ(read(reg::CTRL) & reg::CTRL_RST, 0u);
    EXPECT_EQ(read(reg::FCTRL), 0u);
    EXPECT_EQ(read(reg::RAL(0)), 0x01211B00u);
    EXPECT_EQ(read(reg::RAH(0)), 0x80000302u);
}

// 8.2.3.1.2: with Master Disable set, and nothing in flight, the Master Enable status goes away.
TEST_F(Control, MasterDisableIsAcknowledged) {
    EXPECT_NE(read(reg::STATUS) & reg::STATUS_MASTER_ENABLE, 0u);
    write(reg::CTRL, reg::CTRL_MASTER_DISABLE);
    EXPECT_EQ(read(reg::STATUS) & reg::STATUS_MASTER_ENABLE, 0u);
}

// 8.2.2: the addresses of the 82598 lead to the same registers.
TEST_F(Control, AliasesAreTheSameRegister) {
    write(0x5400 + 8, 0x12345678);
    EXPECT_EQ(read(reg::RAL(1)), 0x12345678u);
    write(reg::rx_queue(3) + reg::SRRCTL, 5);
    EXPECT_EQ(read(0x2100 + 4 * 3), 5u);
    write(0x5818, 1);
    EXPECT_EQ(read(reg::MRQC), 1u);
}

// 8.2.3.4: who reads SWSM.SMBI as zero has it; others read one until it is written back.
TEST_F(Control, SemaphoreIsTakenByReading) {
    EXPECT_EQ(read(reg::SWSM) & 1, 0u);
    EXPECT_EQ(read(reg::SWSM) & 1, 1u);
    write(reg::SWSM, 0);
    EXPECT_EQ(read(reg::SWSM) & 1, 0u);
}

// 8.2.3.2.2, 6.4.5: EERD reads a word; words 0 to 0x3F add up to 0xBABA.
TEST_F(Control, EepromChecksumAddsUp) {
    auto const sum = [this] {
        std::uint16_t total = 0;
        for (std::uint32_t address = 0; address <= 0x3F; ++address) {
            write(reg::EERD, address << 2 | 1);
            std::uint32_t const value = read(reg::EERD);
            EXPECT_NE(value & 2, 0u);
            total = static_cast<std::uint16_t>(total + (value >> 16));
        }
        return total;
    };
    EXPECT_EQ(sum(), 0xBABA);
    nic.damage_eeprom(true);
    EXPECT_NE(sum(), 0xBABA);
    nic.damage_eeprom(false);
    EXPECT_EQ(sum(), 0xBABA);
}

// 8.2.3.2.1: EEC as the four wires of an SPI EEPROM with READ (3) and 16 address bits, byte-wise.
TEST_F(Control, EepromAnswersOnItsWires) {
    constexpr std::uint32_t clock = 1, to_chip = 4, from_chip = 8, request = 0x40, grant = 0x80;
    write(reg::EEC, request);
    EXPECT_NE(read(reg::EEC) & grant, 0u);
    auto const clock_bit = [this](bool bit) {
        std::uint32_t const data = request | (bit ? to_chip : 0);
        write(reg::EEC, data);
        write(reg::EEC, data | clock);
        write(reg::EEC, data);
        return (read(reg::EEC) & from_chip) != 0;
    };
    constexpr std::uint32_t read_word_0f = 3u << 16 | 0x0F * 2;
    bool out = false;
    for (int i = 23; i >= 0; --i) {
        out = clock_bit((read_word_0f >> i & 1) != 0);
    }
    std::uint16_t value = 0;
    for (int i = 0; i < 16; ++i) {
        value = static_cast<std::uint16_t>(value << 1 | (out ? 1 : 0));
        out = clock_bit(false);
    }
    EXPECT_EQ(value, 0x0001) << "word 0x0F, low byte first";
}

// 8.2.3.1.5: a master on I2CCTL.
class TwoWires {
  public:
    explicit TwoWires(Sfp& sfp) : sfp_(sfp) { drive(true, true); }
    void start() {
        drive(true, true);
        drive(true, false);
        drive(false, false);
    }
    bool send(std::uint8_t byte) {  // acknowledged?
        for (int i = 7; i >= 0; --i) {
            pulse((byte >> i & 1) != 0);
        }
        return !pulse(true);
    }
    std::uint8_t receive() {
        std::uint8_t byte = 0;
        for (int i = 0; i < 8; ++i) {
            byte = static_cast<std::uint8_t>(byte << 1 | (pulse(true) ? 1 : 0));
        }
        pulse(true);
        return byte;
    }

  private:
    void drive(bool clock, bool data) { sfp_.set_wires((clock ? 2u : 0u) | (data ? 8u : 0u)); }
    bool pulse(bool data) {
        drive(false, data);
        drive(true, data);
        bool const line = (sfp_.wires() & 4) != 0;
        drive(false, data);
        return line;
    }
    Sfp& sfp_;
};

TEST(Module, AnswersOnItsBusAndIsSilentWhenAbsent) {
    Sfp sfp;
    TwoWires wires(sfp);
    wires.start();
    EXPECT_FALSE(wires.send(0xB0)) << "another device";
    wires.start();
    EXPECT_TRUE(wires.send(0xA0));
    EXPECT_TRUE(wires.send(3));
    wires.start();
    EXPECT_TRUE(wires.send(0xA1));
    EXPECT_EQ(wires.receive(), 0x10) << "10GBASE-SR in byte 3";
    sfp.set_present(false);
    wires.start();
    EXPECT_FALSE(wires.send(0xA0));
}

class Interrupt : public Bench {
  protected:
    void use_msix() { write(reg::GPIE, reg::GPIE_MULTIPLE_MSIX); }
};

// 7.3.4: without multiple MSI-X every cause is vector 0. 8.2.3.5.1: reading EICR clears it.
TEST_F(Interrupt, LinkChangeIsACauseOfVectorZero) {
    write(reg::EIMS, reg::EICR_LSC);
    nic.set_link(false);
    EXPECT_THAT(machine.messages, ElementsAre(Pair(pf, 0u)));
    EXPECT_EQ(read(reg::LINKS) & reg::LINKS_UP, 0u);
    EXPECT_EQ(read(reg::EICR), reg::EICR_LSC);
    EXPECT_EQ(read(reg::EICR), 0u);
    nic.set_link(false);
    EXPECT_EQ(machine.messages.size(), 1u) << "nothing changed";
}

// 8.2.3.5.3, 8.2.3.5.4: what is masked is kept and comes when it is let through.
TEST_F(Interrupt, MaskedCauseComesWhenItIsEnabled) {
    nic.set_link(false);
    EXPECT_THAT(machine.messages, IsEmpty());
    write(reg::EIMS, reg::EICR_LSC);
    EXPECT_EQ(machine.messages.size(), 1u);
    write(reg::EIMC, reg::EICR_LSC);
    nic.set_link(true);
    EXPECT_EQ(machine.messages.size(), 1u);
}

// 7.3.4.1: IVAR has the vector of a queue, IVAR_MISC that of the other causes.
TEST_F(Interrupt, VectorsComeFromIvar) {
    use_msix();
    write(reg::IVAR_MISC, (5u | reg::IVAR_VALID) << 8);
    write(reg::IVAR(0), (3u | reg::IVAR_VALID) | (20u | reg::IVAR_VALID) << 16);
    write(reg::EIMS, reg::EICR_LSC | reg::bit(3));
    write(reg::EIMS_EX(0), reg::bit(20));
    write(reg::FCTRL, reg::FCTRL_BAM | reg::FCTRL_UPE);
    start_receiver(0, 0);
    EXPECT_TRUE(nic.receive(frame_to(own_mac)));
    nic.set_link(false);
    EXPECT_THAT(machine.messages, ElementsAre(Pair(pf, 3u), Pair(pf, 5u)));
    EXPECT_EQ(read(reg::EICR), reg::EICR_LSC | reg::bit(3));
}

// 8.2.3.5.7 ff.: vectors beyond 15 have no bit in EICR; masked ones stay pending.
TEST_F(Interrupt, HighVectorsStayPendingWhileMasked) {
    use_msix();
    write(reg::EICS_EX(1), reg::bit(8));
    EXPECT_THAT(machine.messages, IsEmpty());
    write(reg::EIMS_EX(1), reg::bit(8));
    EXPECT_THAT(machine.messages, ElementsAre(Pair(pf, 40u)));
    EXPECT_EQ(read(reg::EIMS_EX(1)), reg::bit(8));
    write(reg::EIMC_EX(1), reg::bit(8));
    EXPECT_EQ(read(reg::EIMS_EX(1)), 0u);
}

// 8.2.3.5.5 EIAC: the message clears the cause. GPIE.EIAME with EIAM_EX: it masks the vector too.
TEST_F(Interrupt, AutoClearAndAutoMask) {
    write(reg::GPIE, reg::GPIE_MULTIPLE_MSIX | reg::GPIE_EIAME);
    write(reg::EIAC, reg::bit(2));
    write(reg::EIAM_EX(0), reg::bit(2));
    write(reg::EIMS, reg::bit(2));
    write(reg::EICS, reg::bit(2));
    write(reg::EICS, reg::bit(2));
    EXPECT_EQ(machine.messages.size(), 1u);
    EXPECT_EQ(read(reg::EIMS), 0u);
    write(reg::EIMS, reg::bit(2));
    EXPECT_EQ(machine.messages.size(), 2u);
}

// 7.3.2, 8.2.3.5.12: an EITR interval of n in bits 11:3 keeps messages n * 2.048 us apart.
TEST_F(Interrupt, ModerationKeepsMessagesApart) {
    write(reg::EITR(0), 100u << 3 | reg::EITR_CNT_WDIS);
    write(reg::EIMS, reg::EICR_LSC);
    nic.set_link(false);
    machine.time_ns += 100'000;
    nic.set_link(true);
    nic.set_link(false);
    EXPECT_EQ(machine.messages.size(), 1u);
    EXPECT_EQ(machine.wake_ns, 1'000'000'000u + 204'800u);
    nic.run_due();
    EXPECT_EQ(machine.messages.size(), 1u) << "too early";
    machine.time_ns = machine.wake_ns;
    nic.run_due();
    EXPECT_EQ(machine.messages.size(), 2u);
    nic.run_due();
    EXPECT_EQ(machine.messages.size(), 2u);
}

class Trace : public Bench {};

TEST_F(Trace, SaysWhichExpectedWriteDidNotHappen) {
    RegisterTrace trace;
    nic.set_trace(&trace);
    write(reg::FCTRL, reg::FCTRL_UPE);
    read(reg::STATUS);
    write(0x5400 + 8, 0x12345678);  // the 82598's address of RAL(1)
    nic.set_trace(nullptr);
    write(reg::FCTRL, reg::FCTRL_BAM);
    ExpectedWrite const promiscuous{reg::FCTRL, reg::FCTRL_UPE}, address{reg::RAL(1), 0x12345678},
        low_half{reg::RAL(1), 0x5678, 0xFFFF};
    EXPECT_EQ(trace.missing({promiscuous, address}), "");
    EXPECT_EQ(trace.missing({promiscuous, low_half}), "");
    EXPECT_NE(trace.missing({address, promiscuous}), "") << "another order";
    EXPECT_THAT(trace.missing({{reg::FCTRL, reg::FCTRL_BAM}}), testing::HasSubstr("written to it were: 0x200"));
    EXPECT_THAT(trace.writes(reg::RAL(1)), ElementsAre(0x12345678u));
    auto const accesses = trace.take();
    ASSERT_EQ(accesses.size(), 3u);
    EXPECT_EQ(accesses[1].kind, Access::Kind::read);
    EXPECT_TRUE(trace.take().empty());
}

class Fault : public Bench {};

TEST_F(Fault, ARemovedNicReadsAllOnesAndComesBackReset) {
    write(reg::FCTRL, reg::FCTRL_UPE);
    start_receiver(0, 0);
    nic.set_removed(true);
    EXPECT_EQ(read(reg::STATUS), 0xFFFFFFFFu);
    EXPECT_FALSE(nic.receive(frame_to(own_mac)));
    write(reg::FCTRL, 0);
    nic.set_removed(false);
    EXPECT_EQ(read(reg::FCTRL), 0u);
    EXPECT_NE(read(reg::STATUS), 0xFFFFFFFFu);
}

TEST_F(Fault, WithoutAModuleThereIsNoLink) {
    write(reg::EIMS, reg::EICR_LSC);
    nic.set_module_present(false);
    EXPECT_EQ(read(reg::LINKS), 0u);
    EXPECT_EQ(read(reg::ESDP) & reg::ESDP_SDP2, 0u);
    EXPECT_EQ(machine.messages.size(), 1u);
}

TEST_F(Fault, RefusedDmaIsCountedAndLosesTheFrame) {
    write(reg::FCTRL, reg::FCTRL_UPE);
    start_receiver(0, 0);
    nic.fail_dma(1);
    nic.receive(frame_to(own_mac));
    EXPECT_EQ(nic.events().dma_faults, 1u);
    EXPECT_EQ(nic.events().delivered, 0u);
    nic.receive(frame_to(own_mac));
    EXPECT_EQ(nic.events().delivered, 1u);
    write(reg::rx_queue(0) + reg::BAH, 1);  // far beyond the memory
    nic.receive(frame_to(own_mac));
    EXPECT_EQ(nic.events().dma_faults, 2u);
}

TEST_F(Fault, UnknownRegistersReadAsZero) {
    write(0x7FFFC, 5);
    EXPECT_EQ(read(0x7FFFC), 0u);
}

}  // namespace
}  // namespace nic82599
