// SPDX-License-Identifier: BSD-2-Clause
// Every frame of the corpus gets its verdict, as it is, with a priority tag, and inside a VLAN; and no frame, however
// it is cut or changed, makes the classifier read outside it or break its promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/unit/datapath/corpus.hpp"
#include "tests/unit/datapath/small_world.hpp"

namespace librettos::test {

namespace {

using nlohmann::json;

enum class Variant { plain, priority_tag, vlan };

constexpr std::uint16_t variant_vlan = 7;

struct Step {
    Slot from = 0;
    Bytes frame;
    std::size_t frame_bytes = 0;
    std::uint64_t at_us = 0;
    lvif_record offload{};
    json const* expected = nullptr;
};

Step read_step(json const& text, Variant variant) {
    Step step;
    step.from = text["from"];
    step.frame = from_hex(text["frame"].get<std::string>());
    step.frame_bytes = text.value("frame_bytes", step.frame.size());
    step.at_us = 1'000'000'000 + text["at_us"].get<std::uint64_t>();
    step.expected = &text;
    if (step.from == wire_slot && variant != Variant::plain && step.frame.size() >= 14) {
        std::uint8_t const id = variant == Variant::vlan ? variant_vlan : 0;
        std::uint8_t const tag[] = {0x81, 0, 0x60, id};
        step.frame.insert(step.frame.begin() + 12, std::begin(tag), std::end(tag));
        step.frame_bytes += sizeof tag;
    }
    if (text.contains("offload")) {
        json const& offload = text["offload"];
        step.offload.flags = offload.value("flags", std::uint16_t{0});
        step.offload.csum_start = offload.value("csum_start", std::uint16_t{0});
        step.offload.csum_offset = offload.value("csum_offset", std::uint16_t{0});
        step.offload.gso_size = offload.value("gso_size", std::uint16_t{0});
        step.offload.header_length = offload.value("header_length", std::uint16_t{0});
    }
    step.offload.length = static_cast<std::uint32_t>(step.frame_bytes);
    return step;
}

NetworkIdentity network_of(json const& text, Variant variant) {
    NetworkIdentity network = small_network();
    json const& changes = text["network"];
    network.vlan = changes.value("vlan", variant == Variant::vlan ? variant_vlan : std::uint16_t{0});
    network.replies_per_s = changes.value("replies_per_s", network.replies_per_s);
    if (changes.value("silent", false)) {
        network.unowned_tcp = network.unowned_udp = UnownedPort::silent;
    }
    return network;
}

Verdict classify(Classifier& classifier, Step const& step, std::span<std::uint8_t const> frame,
                 std::size_t frame_bytes) {
    return step.from == wire_slot ? classifier.from_wire(frame, frame_bytes, step.at_us)
                                  : classifier.from_guest(step.from, frame, step.offload, step.at_us);
}

json as_json(Verdict const& verdict, Classifier const& classifier) {
    std::vector<Slot> targets;
    if (verdict.to_targets) {
        targets.assign(classifier.targets().begin(), classifier.targets().end());
        std::sort(targets.begin(), targets.end());
    }
    return {{"drop", counter_texts[static_cast<std::size_t>(verdict.drop)].name},
            {"slot", verdict.slot},
            {"to_wire", verdict.to_wire},
            {"targets", targets},
            {"reply", verdict.reply},
            {"hold", verdict.hold},
            {"released", verdict.released}};
}

// What the data path relies on, whatever the frame.
void expect_promises(Verdict const& verdict, SmallWorld& world, Slot from) {
    Classifier const& classifier = world.classifier();
    bool const somewhere = verdict.to_wire || verdict.to_targets || verdict.slot != wire_slot || verdict.hold;
    EXPECT_EQ(verdict.drop != Counter::none, !somewhere && !(verdict.reply && verdict.drop == Counter::none));
    EXPECT_EQ(verdict.reply, !classifier.reply().empty() && verdict.reply);
    EXPECT_LT(verdict.slot, max_slots);
    EXPECT_TRUE(verdict.slot == wire_slot || world.directory().present(verdict.slot));
    EXPECT_TRUE(!verdict.to_wire || from != wire_slot) << "a frame from the wire goes back to it";
    EXPECT_TRUE(verdict.slot == wire_slot || verdict.slot != from);
    EXPECT_TRUE(!verdict.released || verdict.slot != wire_slot);
    if (verdict.to_targets) {
        std::vector<Slot> targets(classifier.targets().begin(), classifier.targets().end());
        EXPECT_FALSE(targets.empty());
        std::sort(targets.begin(), targets.end());
        EXPECT_EQ(std::adjacent_find(targets.begin(), targets.end()), targets.end()) << "a guest would get it twice";
        for (Slot slot : targets) {
            EXPECT_TRUE(slot != from && world.directory().present(slot));
        }
    }
}

class Corpus : public testing::Test {
  protected:
    void SetUp() override {
        std::string why;
        corpus_ = corpus(why);
        if (corpus_ == nullptr) {
            GTEST_SKIP() << why;
        }
    }
    json const* corpus_ = nullptr;
};

void run_case(json const& text, Variant variant, json& answers) {
    std::string const name = text["name"];
    SCOPED_TRACE(name + (variant == Variant::vlan           ? " in a VLAN"
                         : variant == Variant::priority_tag ? " with priority"
                                                            : ""));
    SmallWorld world(network_of(text, variant));
    Classifier& classifier = world.classifier();
    std::size_t number = 0;
    std::size_t held = 0;
    for (json const& step_text : text["steps"]) {
        SCOPED_TRACE("step " + std::to_string(number));
        Step const step = read_step(step_text, variant);
        Verdict const verdict = classify(classifier, step, step.frame, step.frame_bytes);
        EXPECT_EQ(as_json(verdict, classifier), step_text["expect"]);
        expect_promises(verdict, world, step.from);
        if (verdict.reply) {
            auto const reply = classifier.reply();
            answers[name][std::to_string(number)].push_back(to_hex({reply.begin(), reply.end()}));
            if (step.from == wire_slot) {
                EXPECT_EQ(reply[12] == 0x81 && reply[13] == 0, step.frame[12] == 0x81 && step.frame[13] == 0);
            }
        }
        if (verdict.hold) {
            bool const room = classifier.hold(&held);
            EXPECT_EQ(room, step_text.value("room", true));
            held += room ? 1 : 0;
        }
        EXPECT_EQ(classifier.held(), held);
        for (std::size_t i = 0; i < step_text.value("take", std::size_t{0}); ++i, --held) {
            EXPECT_EQ(classifier.take_released(), &held);
        }
        EXPECT_EQ(classifier.take_released(), nullptr);
        ++number;
    }
}

}  // namespace

TEST_F(Corpus, EveryFrameGetsItsVerdictAndScapyUnderstandsTheAnswers) {
    json answers = json::object();
    for (json const& text : (*corpus_)["cases"]) {
        run_case(text, Variant::plain, answers);
        if (text["variants"].get<bool>()) {
            run_case(text, Variant::priority_tag, answers);
            run_case(text, Variant::vlan, answers);
        }
    }
    EXPECT_GT(answers.size(), 60u);
    EXPECT_EQ(check_answers(answers), "");
}

TEST_F(Corpus, NoCutMakesItReadOutside) {
    for (json const& text : (*corpus_)["cases"]) {
        SCOPED_TRACE(text["name"].get<std::string>());
        SmallWorld world(network_of(text, Variant::plain));
        for (json const& step_text : text["steps"]) {
            Step step = read_step(step_text, Variant::plain);
            std::size_t const most = std::min<std::size_t>(step.frame.size(), 200);
            for (std::size_t cut = 0; cut < most; ++cut) {
                Bytes const part(step.frame.begin(), step.frame.begin() + static_cast<std::ptrdiff_t>(cut));
                for (std::size_t said : {cut, step.frame_bytes}) {
                    step.offload.length = static_cast<std::uint32_t>(said);
                    expect_promises(classify(world.classifier(), step, part, said), world, step.from);
                }
            }
        }
    }
}

TEST_F(Corpus, NoChangedByteBreaksAPromise) {
    std::mt19937 random(20261122);
    for (json const& text : (*corpus_)["cases"]) {
        SCOPED_TRACE(text["name"].get<std::string>());
        SmallWorld world(network_of(text, Variant::plain));
        for (json const& step_text : text["steps"]) {
            Step const step = read_step(step_text, Variant::plain);
            std::size_t const most = std::min<std::size_t>(step.frame.size(), 120);
            for (std::size_t at = 0; at < most; ++at) {
                Bytes frame = step.frame;
                frame[at] = static_cast<std::uint8_t>(random());
                Verdict const verdict = classify(world.classifier(), step, frame, step.frame_bytes);
                expect_promises(verdict, world, step.from);
                if (verdict.hold) {
                    world.classifier().hold(&world);
                    world.classifier().take_expired(UINT64_MAX);
                }
            }
        }
    }
}

}  // namespace librettos::test
