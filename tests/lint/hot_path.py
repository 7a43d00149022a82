# SPDX-License-Identifier: BSD-2-Clause
"""What runs per frame neither allocates, logs, throws nor locks: forbidden words in the files of the data path.

Constructors and destructors run when a thread starts and ends: they are left alone. So is push_back() on a container that is
reserve()d somewhere in the folder. Anything else that is right needs a marker with a reason,

    // lint: not per frame: REASON

at the end of the line, or on a line of its own directly above a function: then it covers the function.
"""
import re
from pathlib import Path

import project

FOLDER = "daemon/engine/datapath/"
CONTROL_SIDE = {FOLDER + "data_plane.cpp", FOLDER + "data_plane.hpp"}  # called by the control thread alone

FORBIDDEN = [
    ("allocates", r"\bnew\b(?!\s*\()|(?<!= )\bdelete\b|\b(?:m|c|re)alloc\s*\(|\b(?:posix_memalign|aligned_alloc|free)\s*\("
                  r"|\bmake_(?:unique|shared)\b|\brte_(?:z|c|re)?malloc\w*|\brte_free\b|[.>](?:resize|reserve|shrink_to_fit)\s*\("),
    ("owns by counting or hides a call", r"\bshared_ptr\b|\bstd::function\b|\bstd::string\b|\bstd::to_string\b|\bstd::(?:unordered_)?map\b"),
    ("logs", r"\bspdlog\b|\b(?:f|s|sn|v)?printf\s*\(|\bstd::(?:cout|cerr|clog|format)\b|\b(?:sys|rte_)log\b|\bRTE_LOG\b|\bperror\s*\("),
    ("throws", r"\bthrow\b|\btry\b|\bcatch\b|\bdynamic_cast\b"),
    ("locks", r"\bmutex\b|\b(?:lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable|call_once)\b"
              r"|\brte_(?:spin|rw)lock\w*|\bpthread_\w*lock\w*|\bstd::thread\b"),
]
GROWS = re.compile(r"(\w+)(?:\.|->)(?:push_back|emplace_back)\s*\(")
MARKER = re.compile(r"//\s*lint: not per frame: \S.{6,}")
EMPTY_MARKER = re.compile(r"//\s*lint: not per frame\b")


def matching(code: str, start: int) -> int:
    """Offset after the bracket that closes the one at `start`."""
    pairs = {"(": ")", "{": "}"}
    opening, closing, depth = code[start], pairs[code[start]], 0
    for offset in range(start, len(code)):
        depth += (code[offset] == opening) - (code[offset] == closing)
        if depth == 0:
            return offset + 1
    return len(code)


def body_after_parameters(code: str, offset: int):
    """(start, end) of a constructor's initialisers and body; nothing when it is only declared."""
    start = offset
    word = re.compile(r"\s*(?:noexcept(?:\s*\([^)]*\))?|override|:|,)?\s*(?:[\w:<>, ]+?\s*(?=[({]))?")
    while offset < len(code):
        offset = word.match(code, offset).end()
        if offset >= len(code) or code[offset] not in "({":
            return None
        is_member = re.search(r"[\w>]\s*$", code[start:offset]) and not re.search(r"noexcept\s*$", code[start:offset])
        end = matching(code, offset)
        if code[offset] == "{" and not is_member:
            return start, end
        offset = end
    return None


def setup_regions(code: str):
    names = set(re.findall(r"\b(?:class|struct)\s+(?:alignas\s*\([^)]*\)\s*)?(\w+)", code)) | set(re.findall(r"\b(\w+)::~?\1\s*\(", code))
    regions = []
    for name in names:
        for match in re.finditer(r"(?:^|(?<=[\s:~]))" + name + r"\s*\(", code):
            region = body_after_parameters(code, matching(code, match.end() - 1))
            if region:
                regions.append(region)
    return regions


def marked_regions(text: str, code: str):
    regions = []
    for match in MARKER.finditer(text):
        line_start = text.rfind("\n", 0, match.start()) + 1
        line_end = text.find("\n", match.start())
        if text[line_start:match.start()].strip():
            regions.append((line_start, line_end))
        else:
            brace = code.find("{", match.end())
            if brace >= 0:
                regions.append((match.end(), matching(code, brace)))
    return regions


def check_text(path: str, text: str, reserved):
    code = project.code(text)
    allowed = setup_regions(code) + marked_regions(text, code)

    def report(offset: int, what: str):
        if not any(start <= offset < end for start, end in allowed):
            findings.append(f"{path}:{project.line_of(text, offset)}: {what}")

    findings = []
    for kind, pattern in FORBIDDEN:
        for match in re.finditer(pattern, code):
            report(match.start(), f"'{match.group().strip()}' {kind} in the data path")
    for match in GROWS.finditer(code):
        if match.group(1) not in reserved:
            report(match.start(), f"{match.group(1)} grows and is nowhere reserved")
    for match in EMPTY_MARKER.finditer(text):
        if not MARKER.match(text, match.start()):
            findings.append(f"{path}:{project.line_of(text, match.start())}: the marker gives no reason")
    return findings


def check(root: Path):
    paths = [p for p in project.sources(root) if p.startswith(FOLDER) and p not in CONTROL_SIDE]
    texts = {path: project.read(root, path) for path in paths}
    reserved = set()
    for text in texts.values():
        reserved |= set(re.findall(r"(\w+)(?:\.|->)reserve\s*\(", project.code(text)))
    return [finding for path in paths for finding in check_text(path, texts[path], reserved)]


_LOOP = FOLDER + "loop.cpp"
GOOD = {
    _LOOP: """
class Loop {
  public:
    Loop(Loop const&) = delete;
    explicit Loop(int size) : a_(size), memory_{new char[4]} { list_.reserve(8); }
    void turn() { list_.push_back(1); }  // new text, "throw", malloc(
};
Loop::~Loop() noexcept { delete memory_; }
// lint: not per frame: a command of the control thread
void Loop::add() {
    throw 1;
}
auto text = "std::string throw new";
void f() { setup(new int); }  // lint: not per frame: at start only
""",
    FOLDER + "data_plane.cpp": "void f() { throw 1; }\n",
    "daemon/engine/control/x.cpp": "void f() { throw 1; }\n",
}
BAD = [
    {_LOOP: "void Loop::turn() { auto* p = new int; }\n"},
    {_LOOP: "void Loop::turn() { delete p; }\n"},
    {_LOOP: "void Loop::turn() { p = malloc(4); }\n"},
    {_LOOP: "void Loop::turn() { list_.push_back(1); }\n"},
    {_LOOP: "void Loop::turn() { list_.resize(1); }\n"},
    {_LOOP: "void Loop::turn() { throw 1; }\n"},
    {_LOOP: "void Loop::turn() { spdlog::info(1); }\n"},
    {_LOOP: "void Loop::turn() { std::lock_guard l{m}; }\n"},
    {_LOOP: "void Loop::turn() { std::string s; }\n"},
    {_LOOP: "Loop::Loop() { a(); }\nvoid Loop::turn() { throw 1; }\n"},
    {_LOOP: "class Loop {\n    Loop(int a) : a_{a}, b_(2) {}\n    void turn() { throw 1; }\n};\n"},
    {_LOOP: "// lint: not per frame: a command of control\nvoid a() {}\nvoid b() { throw 1; }\n"},
    {_LOOP: "void b() { throw 1; }  // lint: not per frame\n"},
]
