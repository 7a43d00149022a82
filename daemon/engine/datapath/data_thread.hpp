// SPDX-License-Identifier: BSD-2-Clause
// One data thread: moves frames between its queue of the port and the rings of the guest queues it serves.
//
// Theory of operation
//   turn() is the whole loop: frames from the wire, from the other data threads, from the guests that are awake; then
//   what is for the wire is sent, then every ring that was touched is published, with one fence for all of them, and
//   the guests that said that they sleep are notified. While the wire has more than a turn takes, rings are published
//   every 50 us only (publish.cpp). Nothing in it allocates, logs, locks or throws; system calls
//   are the doorbell and, every 32 turns, a look at the doorbells that came in.
//
//   A guest's frame is copied to private memory first and judged by that copy. Full ring towards a guest: the frame is
//   dropped and counted. Full transmit queue, or a guest over its rate: the frames stay in the guest's ring.
//
//   A queue that was empty for a while, in turns that had other work, is armed and then costs nothing until its event
//   fires. When there is nothing for any of them, nor from the wire, the thread looks on for a while that adapts itself
//   (librettos/poll_window.h), then sleeps in epoll_wait on the guests' events, the port's descriptor or interrupt, and
//   its own wake-up.
//
//   Each guest queue is served by one thread; frames for another thread's are handed to it. So are frames that only the
//   keeper can judge (keeper.hpp).
//
// The control thread owns nothing in here but the two ends of the queues `commands` and `acknowledgements`.
#pragma once

#include <librettos/poll_window.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daemon/api/counters.hpp"
#include "daemon/engine/boot.hpp"
#include "daemon/engine/datapath/classify.hpp"
#include "daemon/engine/datapath/fragment_store.hpp"
#include "daemon/engine/datapath/guest_runtime.hpp"
#include "daemon/engine/datapath/packet.hpp"
#include "daemon/engine/datapath/spsc_queue.hpp"
#include "daemon/engine/datapath/turn_clock.hpp"

namespace librettos {

struct DataCommand {
    enum class Kind : std::uint8_t { add, remove, network, direct, watch_steering, drain, stop } kind;
    Slot slot;
    Guest* guest = nullptr;                               // add
    NetworkIdentity const* network = nullptr;             // network; freed by control after the acknowledgement
    bool direct = false;                                  // direct
    std::uint32_t mark = 0;                               // watch_steering, drain: for the guest's rings; 0: none
    std::atomic<std::uint64_t> const* steered = nullptr;  // watch_steering: becomes `awaited` (boot.hpp)
    std::uint64_t awaited = 0;
};

struct DataAck {
    enum class Kind : std::uint8_t { added, removed, network, broken, direct, drained, stopped } kind;
    Slot slot;
    void const* subject;  // what may be freed now
    char const* reason;   // broken
};

// Where a thread's counters are: a cell per slot and counter, written by this thread alone.
class SlotCounters {
  public:
    explicit SlotCounters(std::uint64_t* cells) : cells_(cells) {}
    void add(Slot slot, Counter counter, std::uint64_t n = 1) noexcept {
        std::uint64_t* const cell = cells_ + slot * counter_count + static_cast<std::size_t>(counter);
        __atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
    }

  private:
    std::uint64_t* cells_;
};

struct DataThreadSetup {
    PortDescription const* port = nullptr;
    rte_mempool* pool = nullptr;
    InFlight* in_flight = nullptr;   // of all threads
    ThreadStats* stats = nullptr;    // of this thread
    std::uint64_t* cells = nullptr;  // of this thread
    std::uint16_t index = 0;
    std::uint16_t threads = 1;
    std::uint32_t poll_us = LVIF_POLL_DEFAULT_US;
    bool gro = true;
};

class DataThread {
  public:
    using CommandQueue = SpscQueue<DataCommand, 4096>;
    using AckQueue = SpscQueue<DataAck, 8192>;

    // Takes over what a dead predecessor held (InFlight). `acknowledge_fd`: an eventfd written after each push to
    // `acknowledgements`. Throws std::system_error.
    DataThread(DataThreadSetup const& setup, NetworkIdentity const& network, lvif_portmap const& portmap,
               int acknowledge_fd);
    ~DataThread();
    DataThread(DataThread const&) = delete;
    DataThread& operator=(DataThread const&) = delete;

    void run();           // until a stop command
    bool turn();          // one round; true: frames moved
    void housekeeping();  // what is due besides frames: commands, doorbells, timers; between turns

    // The threads that hand frames to each other, by index; before run().
    void set_peers(std::span<DataThread* const> peers) { peers_.assign(peers.begin(), peers.end()); }

    // For the control thread and other data threads.
    CommandQueue commands;
    AckQueue acknowledgements;
    void wake() noexcept;  // out of its sleep

  private:
    // A frame in private memory, on its way. `bytes` may be changed (checksums); the record says what is still to be
    // done.
    struct Frame {
        std::uint8_t* bytes;
        std::uint32_t length;
        lvif_record record;
    };

    // wire_path.cpp
    bool from_wire();
    void judge_wire_burst(std::span<rte_mbuf* const> buffers);
    Slot plain_frame_slot(rte_mbuf const& buffer) const;
    void judge_by_all_rules(rte_mbuf& buffer);
    void judge_by_all_rules(Frame& frame);
    static Frame received(rte_mbuf& buffer);
    void act(Verdict const& verdict, Frame& frame);
    void from_wire_to_guest(Slot slot, Frame& frame);
    static bool has_vlan_tag(Frame const& frame);
    void answer_wire(std::span<std::uint8_t const> answer);
    void release_fragments(Slot slot);
    void expire_fragments();
    bool send_pending();
    std::uint32_t send_space() const;
    rte_mbuf* take_spare() noexcept;
    void give_back(rte_mbuf* buffer) noexcept;
    void queue_for_wire(rte_mbuf* buffer, Slot from) noexcept;
    void tag(rte_mbuf* buffer) const noexcept;
    void append(rte_mbuf* buffer, Slot from) noexcept;
    void drop_when_stuck(bool moved) noexcept;

    // large_frames.cpp
    rte_mbuf* chain(std::span<std::uint8_t const> bytes) noexcept;
    bool whole_to_wire(Guest const& from, Frame const& frame);
    bool received_unfinished(rte_mbuf const& buffer, Frame& frame);
    static bool describe_merged(Packet const& packet, std::uint16_t segment_bytes, Frame& frame);

    // guest_path.cpp
    bool from_guests();
    bool serve(GuestQueue& queue);
    void handle(GuestQueue& queue, RingConsumer::Frame const& in);
    bool handle_by_all_rules(Guest& guest, Frame& frame);
    void to_wire(Guest& from, rte_mbuf* buffer, Frame& frame);
    void segments_to_wire(Guest& from, Frame const& frame);
    void to_guest(Slot slot, Frame& frame);
    void to_queue(GuestQueue& queue, Frame& frame);
    void segments_to_queue(GuestQueue& queue, Frame const& frame);
    bool put(GuestQueue& queue, std::uint8_t const* bytes, std::uint32_t length, lvif_record const& record);
    void put_segment(GuestQueue& queue, Frame& frame);
    void hand_off(GuestQueue const& queue, std::uint16_t number, Frame const& frame);
    template <typename Fill>
    Counter hand_off_buffer(std::uint16_t thread, Slot slot, std::uint16_t number, lvif_record const& record,
                            Fill fill);
    bool hand_to_keeper(Slot from, Frame const& frame);
    void judge_for_peer(Handoff const& handoff);
    template <typename Sink>
    void cut(Slot slot, Frame const& frame, Sink sink);
    bool from_other_threads();

    void report_broken(GuestQueue& queue, char const* reason);

    // publish.cpp
    bool publication_due() const noexcept;
    void publish_rings();
    void publish_early(GuestQueue& queue);
    void ring_doorbell(GuestQueue& queue) noexcept;
    void wake_peers();
    void touch(GuestQueue& queue) {
        if (!queue.touched) {
            queue.touched = true;
            touched_.push_back(&queue);
        }
    }

    // data_thread.cpp
    void chores();
    bool take_commands();
    void adopt_in_flight();
    void add(Guest& guest);
    void remove(Slot slot);
    void set_direct(Slot slot, bool direct);
    void advance_drains();
    void watch_steering(DataCommand const& command);
    void look_at_steering();
    void forget_steering(Slot slot);
    void mark_rings(Slot slot, std::uint32_t mark) noexcept;
    void acknowledge(DataAck const& ack) noexcept;
    void start_polling(GuestQueue& queue);
    bool put_to_sleep(GuestQueue& queue);
    void look_at_events(std::uint64_t timeout_ns);
    void on_doorbell(GuestQueue& queue);
    void wake_due();
    void sleep();
    bool nothing_wakes() const;
    std::uint64_t sleep_limit_ns() const;
    void refresh_time();

    static constexpr std::uint32_t batch = 32;
    static constexpr std::uint32_t guest_burst = 64;       // frames of one queue per turn
    static constexpr std::uint32_t idle_turns_limit = 64;  // empty polls of a busy thread before a queue is armed
    static constexpr std::uint32_t housekeeping_turns = 32;
    static constexpr std::uint32_t empty_doorbells_per_s = 20'000;
    static constexpr std::uint32_t max_segments = 64;  // of one large frame; what send_space() must be for one
    static constexpr std::uint32_t send_soon = 256;    // send in mid-turn when there is less space than this
    static constexpr std::uint32_t spare_refill = 64;  // buffers taken from the pool at once
    static constexpr std::uint64_t publish_within_ns = 50'000;

    // In so many turns everything is handled that the port's queue and those of the other threads can hold.
    static constexpr std::uint32_t drain_turns = 4096 / InFlight::wire_burst + 1;
    struct Drain {
        Slot slot;
        std::uint32_t turns;
        std::uint32_t mark;
    };

    // Of a guest's frames, which a request to the NIC turns to its VF or from there.
    struct SteeringWatch {
        Slot slot;
        std::uint32_t mark;
        std::atomic<std::uint64_t> const* steered;
        std::uint64_t awaited;
        std::uint64_t end_ns;
        std::uint64_t seen_ns;  // that it was done; 0: it is not
    };
    static constexpr std::uint64_t steering_watch_ns = 100'000'000;
    // What the NIC had taken in by then is in the port's queue after so long.
    static constexpr std::uint64_t steering_settles_ns = 20'000;

    DataThreadSetup setup_;
    InFlight& mine_;
    Directory directory_;
    Classifier classifier_;
    SlotCounters counters_;
    FragmentStore fragments_;
    std::vector<Guest*> guests_;            // by slot
    std::vector<GuestQueue*> sole_queues_;  // by slot: of a guest that has one, served by us; else nullptr
    std::vector<GuestQueue*> polled_;
    std::vector<GuestQueue*> waiting_;  // throttled or muted: looked at again at their wake_ns
    std::vector<GuestQueue*> touched_;
    std::vector<Drain> drains_;                    // at most one for each slot
    std::vector<SteeringWatch> steering_;          // likewise
    std::unique_ptr<std::uint8_t[]> large_frame_;  // one frame of up to LVIF_MAX_FRAME_BYTES
    std::unique_ptr<std::uint8_t[]> segment_;      // one segment of it
    std::uint32_t buffer_room_ = 0;                // bytes of frame that an mbuf takes
    std::uint32_t max_wire_frame_ = 0;
    lvif_poll_window poll_window_;
    TurnClock clock_;
    std::uint64_t now_ns_ = 0;
    std::uint64_t worked_ns_ = 0;  // of the last turn that did
    std::uint64_t published_ns_ = 0;
    std::uint64_t stuck_since_ns_ = 0;  // since when the port takes nothing; 0: it does
    std::uint32_t turns_ = 0;
    std::uint32_t first_polled_ = 0;
    int epoll_fd_ = -1;
    int wake_fd_ = -1;
    int acknowledge_fd_ = -1;
    int interrupt_fd_ = -1;  // the NIC queue's, when it has one
    int port_fd_ = -1;       // readable when the port may have frames; -1: none such
    bool stopping_ = false;
    bool last_turn_worked_ = false;
    bool wire_has_more_ = false;    // this turn's burst was a full one
    bool peers_have_more_ = false;  // likewise
    std::vector<DataThread*> peers_;
    std::uint32_t handed_to_ = 0;      // bit t: frames were handed to thread t in this turn
    std::atomic<bool> asleep_{false};  // read by peers after a full fence (publish_rings)
};

}  // namespace librettos
