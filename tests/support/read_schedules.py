"""A model of a read beside the threads that write, and a search of all its schedules.

The readers are those of `okex_ws.trust.reading`, load by load: `read_one` is ``read``,
with ``take`` and ``Taken.is_present``; `read_many` is ``read_together``, with
``_take_together``, ``_remains`` and ``_is_renewed``. An `Era` is one opening of a
connection, with its lease and the marks of what was withdrawn; a `Kept` is one value of
a channel on a connection (``Published``), which an entry here stands for, so that
``entry.channel.current`` is the entry's last value; a `Place` is what
``Reading.entry`` holds. Each move of a writer is one store, and each step of a reader
is one load, so that a schedule is a sequence of moves and steps; a test compares the
order of the steps with that of the real loads. `search` visits every state that any
schedule reaches, breadth first, and checks at each answer what a read promises:

1. At one instant between the begin and the end of the read, all values of the answer
   were the present ones of their channels, live, not withdrawn, and under a lease of
   their own connection that ran.
2. When the result had been built, the leases that were stored when the values were
   loaded still ran. (A reader that takes the lease first has no later one.)
3. If all channels were good at every instant of the read, the answer is a value.
4. A later read never gives a smaller epoch than an earlier one, and gives a greater one
   if the channel was not good at some instant between the two.

Time is a small number, and a jump of the clocks is not told from a lease that ran out.
Building, which parses what was kept unparsed, and judging touch nothing that a writer
changes, so each is one step. A thread
that renews a lease, or hands a channel over, reads the clock and stores in one step
here. ``Era.heard`` only serves the limits of a caller, and is left out, and so is the
thread of the era.

In three places the model is not the letter of the source, but the same. A comparison of
loaded references is made as soon as both are known, and not after the last load: a read
that begins again later than that finds nothing else. A new era goes on with the lapses
of the era before; in the source the channel adds them to its own epoch, in the store of
its first value of the new era, so that the sum is the same. And the judgement of the
values that `read_together` returns is the caller's: here it is part of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

# How many steps of time a lease runs.
LEASE = 2
# How often a reader begins again before it answers no. A search has fewer moves that
# can make it begin again.
TRIES = 8
# A mark that covers each value of an entry.
EVERY = 99


class Lease(NamedTuple):
    """*until* when a connection is vouched for; *lapses* counts leases that ran out."""

    until: int
    lapses: int


class Era(NamedTuple):
    """One opening of a connection. *withdrawn* has a mark for each entry.

    A mark is the serial number up to which the entry's values are withdrawn.
    """

    connection: int
    lease: Lease
    withdrawn: tuple[int, ...]


class Kept(NamedTuple):
    """The value of an entry: `entry.current`. It is never stored twice."""

    entry: int
    era: int
    epoch: int
    serial: int
    live: bool = True


class Place(NamedTuple):
    """Which entry serves a channel (`channel.entry`), and the base of its epochs."""

    entry: int
    base: int = 0


class Left(NamedTuple):
    """How many moves of each kind are left to the writers."""

    publish: int = 0
    renew: int = 0
    tick: int = 0
    withdraw: int = 0
    mark: int = 0
    close: int = 0
    hand_over: int = 0


class World(NamedTuple):
    """Everything that threads share, and what an observer knows of it.

    *gone* is the observer's: by entry, the last serial number that was ever withdrawn.
    *pending* is the base that a thread worked out for a handover but has not stored.
    """

    now: int
    eras: tuple[Era, ...]
    entries: tuple[Kept, ...]
    places: tuple[Place, ...]
    left: Left
    gone: tuple[int, ...]
    pending: int | None = None


@dataclass(frozen=True)
class Rules:
    """What the reader and the writers keep to; each may be left out.

    *clocks* says where the reader takes the clocks. *old_thread_hands_over* is whether
    the thread of the old connection works out the base of the epochs and stores it with
    the new entry, in one step of its own. *lapses_go_on* is whether a new era of a
    connection goes on with the count of the era before.
    """

    lease_first: bool = True
    era_checked: bool = True
    marks_checked: bool = True
    marks_grow: bool = True
    clocks: str = "after building"
    present_checked: bool = True
    two_passes: bool = True
    last_pass: bool = True
    renewals_seen: bool = True
    old_thread_hands_over: bool = True
    lapses_go_on: bool = True


class Read(NamedTuple):
    """A reader: its next *step*, what it loaded, and what the observer saw of the call.

    A tuple has one item for each channel. *at* is the channel that the step is about.
    *denied* is whether a value was withdrawn, and not replaced.
    *seen* holds the values that were the good and present ones of all channels at one
    instant, *unbroken* whether each instant had such values. *before* is the epoch of
    the read before, *grows* whether the epoch must be greater now.
    """

    step: str = "begin"
    at: int = 0
    tries: int = TRIES
    entry: int = -1
    entries: tuple[int, ...] = ()
    eras: tuple[int, ...] = ()
    leases: tuple[Lease, ...] = ()
    kept: tuple[Kept, ...] = ()
    base: int = 0
    clock: int = -1
    vouched: tuple[int, ...] = ()
    ran: bool = False
    denied: bool = False
    seen: frozenset[tuple[Kept, ...]] = frozenset()
    unbroken: bool = True
    before: int = -1
    grows: bool = False


class Answer(NamedTuple):
    """What a read gave: the values, or ``None`` for no; and the epoch of the first."""

    kept: tuple[Kept, ...] | None
    epoch: int = -1


NO = Answer(None)
Reader = Callable[[Read, World, Rules], "Read | Answer"]


# --- What holds at an instant -------------------------------------------------------


def covers(withdrawn: tuple[int, ...], kept: Kept) -> bool:
    """Whether a mark covers *kept*."""
    return kept.serial <= withdrawn[kept.entry]


def good(world: World) -> tuple[Kept, ...] | None:
    """The present values of all channels, or ``None`` if one may not be given."""
    found = []
    for place in world.places:
        kept = world.entries[place.entry]
        if not kept.live or kept.serial <= world.gone[kept.entry]:
            return None
        if world.now >= world.eras[kept.era].lease.until:
            return None
        found.append(kept)
    return tuple(found)


# --- The writers --------------------------------------------------------------------


def put(whole: tuple, at: int, new: object) -> tuple:  # type: ignore[type-arg]
    """*whole* with *new* at the index *at*."""
    return (*whole[:at], new, *whole[at + 1 :])


def spend(world: World, kind: str) -> Left | None:
    """What is left after a move of *kind*; ``None`` if there is none left."""
    left = getattr(world.left, kind)
    return world.left._replace(**{kind: left - 1}) if left else None


def moves(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Each store that a writer may do next, and the world after it."""
    if left := spend(world, "tick"):
        yield "time passes", world._replace(now=world.now + 1, left=left)
    present = {era.connection: number for number, era in enumerate(world.eras)}
    for era in present.values():
        if not rules.old_thread_hands_over or world.pending is None:
            yield from of_connection(world, era, rules)
        if not rules.marks_grow and any(
            0 < m < EVERY for m in world.eras[era].withdrawn
        ):
            forgotten = world.eras[era]._replace(withdrawn=(0,) * len(world.entries))
            yield (
                "the marks shrink",
                world._replace(eras=put(world.eras, era, forgotten)),
            )
    yield from handovers(world, rules)


def of_connection(
    world: World, number: int, rules: Rules
) -> Iterator[tuple[str, World]]:
    """The moves of the thread of the connection whose present era is *number*."""
    era, eras = world.eras[number], world.eras
    own = [k for k in world.entries if eras[k.era].connection == era.connection]
    name, closed = "AB"[era.connection], era.withdrawn[0] == EVERY
    if closed:
        lapses = era.lease.lapses if rules.lapses_go_on else 0
        opened = Era(era.connection, Lease(0, lapses), (0,) * len(world.entries))
        yield f"{name} reconnects", world._replace(eras=(*eras, opened))
        return
    if left := spend(world, "renew"):
        lapsed = 0 < era.lease.until <= world.now
        lease = Lease(world.now + LEASE, era.lease.lapses + lapsed)
        if lease != era.lease:
            changed = put(eras, number, era._replace(lease=lease))
            yield f"{name} renews", world._replace(eras=changed, left=left)
    if left := spend(world, "close"):
        changed = put(
            eras, number, era._replace(withdrawn=(EVERY,) * len(world.entries))
        )
        gone = withdrawn(world, own)
        yield (
            f"{name} withdraws all",
            world._replace(eras=changed, left=left, gone=gone),
        )
    if left := spend(world, "mark"):
        marks = era.withdrawn
        for kept in own:
            marks = put(marks, kept.entry, kept.serial)
        changed = put(eras, number, era._replace(withdrawn=marks))
        gone = withdrawn(world, own)
        yield (
            f"{name} withdraws by a mark",
            world._replace(eras=changed, left=left, gone=gone),
        )
    for kept in own:
        epoch = next_epoch(world, kept)
        if left := spend(world, "publish"):
            new = Kept(kept.entry, number, epoch, kept.serial + 1)
            stored = put(world.entries, kept.entry, new)
            yield (
                f"{name} publishes {new.entry}",
                world._replace(entries=stored, left=left),
            )
        if kept.live and (left := spend(world, "withdraw")):
            raised = epoch if epoch > kept.epoch else epoch + 1
            new = Kept(kept.entry, number, raised, kept.serial + 1, live=False)
            stored = put(world.entries, kept.entry, new)
            gone = withdrawn(world, [kept])
            yield (
                f"{name} withdraws {new.entry}",
                world._replace(entries=stored, left=left, gone=gone),
            )


def withdrawn(world: World, values: list[Kept]) -> tuple[int, ...]:
    """What is gone after *values* were withdrawn."""
    gone = world.gone
    for kept in values:
        gone = put(gone, kept.entry, max(gone[kept.entry], kept.serial))
    return gone


def next_epoch(world: World, kept: Kept) -> int:
    """The epoch of the next value: a withdrawal that left no value raised it."""
    return kept.epoch + (kept.live and kept.serial <= world.gone[kept.entry])


def handovers(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """The last channel is handed over to the last entry, once that entry is good."""
    at, to = len(world.places) - 1, len(world.entries) - 1
    place, new = world.places[at], world.entries[-1]
    ready = good(world._replace(places=(Place(to),))) is not None
    if world.pending is not None:
        done = put(world.places, at, Place(to, world.pending))
        yield "the channel is handed over", world._replace(places=done, pending=None)
    elif place.entry != to and ready and (left := spend(world, "hand_over")):
        old = world.entries[place.entry]
        lost = good(world._replace(places=(place,))) is None
        before = next_epoch(world, old) + world.eras[old.era].lease.lapses
        base = place.base + before + lost
        base -= next_epoch(world, new) + world.eras[new.era].lease.lapses
        if rules.old_thread_hands_over:
            done = put(world.places, at, Place(to, base))
            yield "the channel is handed over", world._replace(places=done, left=left)
        else:
            yield "a base is worked out", world._replace(pending=base, left=left)


# --- The readers --------------------------------------------------------------------


def again(read: Read) -> Read | Answer:
    """Begin the next try; after the last one the answer is no."""
    if read.tries == 1:
        return NO
    return Read(
        "the entry, for the era",
        tries=read.tries - 1,
        seen=read.seen,
        unbroken=read.unbroken,
        before=read.before,
        grows=read.grows,
    )


def read_one(read: Read, world: World, rules: Rules) -> Read | Answer:
    """The next load of ``read``, in the order of its loop."""
    match read.step:
        # take: era = reading.entry.channel.current.era; lease = era.lease
        case "the entry, for the era":
            if not rules.lease_first:
                return read_one(read._replace(step="the entry"), world, rules)
            return read._replace(step="the era", entry=world.places[0].entry)
        case "the era":
            era = world.entries[read.entry].era
            return read._replace(step="the lease", entry=-1, eras=(era,))
        case "the lease":
            lease = world.eras[read.eras[0]].lease
            to = "the entry" if rules.lease_first else "build"
            to = "the clocks" if rules.clocks == "before the value" else to
            return read._replace(step=to, leases=(lease,))
        # take: entry = reading.entry; current = entry.channel.current
        case "the entry":
            place = world.places[0]
            return read._replace(step="the value", entry=place.entry, base=place.base)
        case "the value":
            return loaded(read, world, rules)
        # result = build(taken); now, wall = clock.monotonic(), clock.wall(); judge
        case "build":
            ran = world.now < read.vouched[0]
            to = "the clocks" if read.clock < 0 else "the marks"
            return read._replace(step=to, ran=ran, vouched=())
        case "the clocks":
            steps = {"after building": "the marks", "before building": "build"}
            to = steps.get(rules.clocks, "the entry")
            return read._replace(step=to, clock=world.now)
        # if live and current.is_withdrawn: no if it is still present, else once more
        case "the marks":
            marks = world.eras[read.eras[0]].withdrawn
            kept = read.kept[0]
            covered = rules.marks_checked and kept.live and covers(marks, kept)
            prefix = "withdrawn: " if covered else ""
            if not covered and not rules.present_checked:
                return ended(read, kept)
            return read._replace(step=f"{prefix}the present entry")
        case "withdrawn: the present entry" | "the present entry":
            to = read.step.replace("entry", "value")
            return read._replace(step=to, entry=world.places[0].entry)
        case "withdrawn: the present value":
            same = world.entries[read.entry] == read.kept[0]
            return NO if same else again(read)
        case "the present value":
            return ended(read, world.entries[read.entry])
        # if era.lease is taken.lease and reading.entry.channel.current is current: no
        case "the lease once more":
            same = world.eras[read.eras[0]].lease == read.leases[0]
            return read._replace(step="the last entry") if same else again(read)
        case "the last entry":
            return read._replace(step="the last value", entry=world.places[0].entry)
        case "the last value":
            same = world.entries[read.entry] == read.kept[0]
            return NO if same else again(read)
    raise AssertionError(read.step)


def loaded(read: Read, world: World, rules: Rules) -> Read | Answer:
    """The value has been loaded: it must be of the era whose lease was taken."""
    kept = world.entries[read.entry]
    if not rules.lease_first:
        read = read._replace(eras=(kept.era,))
    elif rules.era_checked and kept.era != read.eras[0]:
        return again(read)
    to = {"before building": "the clocks"}.get(rules.clocks, "build")
    to = to if rules.lease_first else "the lease"
    vouched = (world.eras[kept.era].lease.until,)
    return read._replace(step=to, entry=-1, kept=(kept,), vouched=vouched)


def ended(read: Read, now: Kept) -> Read | Answer:
    """``is_present``: the present value has been loaded; give the result, or not."""
    (kept,), (lease,) = read.kept, read.leases
    if (now.entry, now.era, now.epoch, now.live) != (
        *(kept.entry, kept.era, kept.epoch, kept.live),
    ):
        return again(read)
    if kept.live and read.clock < lease.until:
        return Answer(read.kept, read.base + kept.epoch + lease.lapses)
    return read._replace(step="the lease once more", entry=-1)


def read_many(read: Read, world: World, rules: Rules) -> Read | Answer:
    """The next load of ``read_together``: several channels, at one common instant."""
    at, count = read.at, len(world.places)
    following = (at + 1) % count
    match read.step:
        # eras = [reading.entry.channel.current.era …]; leases = [era.lease …]
        case "the entry, for the era":
            return read._replace(step="the era", entry=world.places[at].entry)
        case "the era":
            eras = (*read.eras, world.entries[read.entry].era)
            to = "the entry, for the era" if following else "the lease"
            return read._replace(step=to, at=following, entry=-1, eras=eras)
        case "the lease":
            leases = (*read.leases, world.eras[read.eras[at]].lease)
            to = "the lease" if following else "first pass: the entry"
            return read._replace(step=to, at=following, leases=leases)
        # entries = [reading.entry …]; first = [entry.channel.current …]
        case "first pass: the entry":
            entries = (*read.entries, world.places[at].entry)
            to = read.step if following else "first pass: the value"
            return read._replace(step=to, at=following, entries=entries)
        case "first pass: the value":
            return first_pass(read, world, rules)
        # second = [reading.entry …]; again = [entry.channel.current …]
        case "second pass: the entry":
            if world.places[at].entry != read.entries[at]:
                return again(read)
            to = read.step if following else "second pass: the value"
            return read._replace(step=to, at=following)
        case "second pass: the value":
            if world.entries[read.entries[at]] != read.kept[at]:
                return again(read)
            return read._replace(step=read.step if following else "build", at=following)
        # result = build(taken); now, wall = clock.monotonic(), clock.wall()
        case "build":
            ran = all(world.now < until for until in read.vouched)
            return read._replace(step="the clocks", ran=ran, vouched=())
        case "the clocks":
            read = read._replace(step="last pass: the marks", clock=world.now)
            return read if rules.last_pass else renewed(read, rules)
        # _remains, for each channel
        case "last pass: the marks":
            kept = read.kept[at]
            covered = kept.live and covers(world.eras[kept.era].withdrawn, kept)
            prefix = "withdrawn: " if covered else ""
            return read._replace(step=f"{prefix}last pass: the entry")
        case "withdrawn: last pass: the entry" | "last pass: the entry":
            to = read.step.replace("entry", "value")
            return read._replace(step=to, entry=world.places[at].entry)
        case "withdrawn: last pass: the value" | "last pass: the value":
            return last_pass(read, world, rules)
        # _is_renewed, for each lease that has run out
        case "the lease once more":
            lease = read.leases[at]
            if read.clock >= lease.until and world.eras[read.eras[at]].lease != lease:
                return again(read)
            return read._replace(at=following) if following else given(read)
    raise AssertionError(read.step)


def first_pass(read: Read, world: World, rules: Rules) -> Read | Answer:
    """One value of the first pass has been loaded."""
    at, following = read.at, (read.at + 1) % len(world.places)
    kept = world.entries[read.entries[at]]
    if rules.era_checked and kept.era != read.eras[at]:
        return again(read)
    vouched = (*read.vouched, world.eras[kept.era].lease.until)
    to = "second pass: the entry" if rules.two_passes else "build"
    return read._replace(
        step=read.step if following else to,
        at=following,
        kept=(*read.kept, kept),
        vouched=vouched,
    )


def last_pass(read: Read, world: World, rules: Rules) -> Read | Answer:
    """One value has been loaded again: it has to be of the same epoch.

    A value that is withdrawn and still present stays: it is a definite no.
    """
    now, kept = world.entries[read.entry], read.kept[read.at]
    if read.step.startswith("withdrawn"):
        read = read._replace(denied=True)
        stands = now == kept
    else:
        stands = now[:3] == kept[:3] and now.live == kept.live
    if not stands:
        return again(read)
    if read.at + 1 < len(world.places):
        return read._replace(step="last pass: the marks", at=read.at + 1, entry=-1)
    return renewed(read._replace(at=0, entry=-1), rules)


def renewed(read: Read, rules: Rules) -> Read | Answer:
    """If a lease has run out, it is asked for once more; else the values are given."""
    lapsed = any(read.clock >= lease.until for lease in read.leases)
    if lapsed and rules.renewals_seen:
        return read._replace(step="the lease once more")
    return given(read)


def given(read: Read) -> Answer:
    """The caller judges: a value each, or no."""
    pairs = zip(read.kept, read.leases, strict=True)
    good = all(kept.live and read.clock < lease.until for kept, lease in pairs)
    return Answer(read.kept) if good and not read.denied else NO


# --- The search ---------------------------------------------------------------------


class Scenario(NamedTuple):
    """A *start*, the *reader*, and how many times it reads, one after another."""

    start: World
    reader: Reader
    reads: int = 1


class Found(NamedTuple):
    """How many *states* were visited, and the shortest *schedule* of a broken promise.

    *schedule* is empty if no promise is broken; otherwise its last line says which.
    """

    states: int
    schedule: tuple[str, ...] = ()


def search(scenario: Scenario, rules: Rules = Rules()) -> Found:
    """Visit every state of *scenario*, until a promise is broken."""
    worlds = Worlds(scenario.start, rules)
    begin = (Read(), 0)
    came: Came = {begin: (None, "")}
    layer = [begin]
    while layer:
        following = []
        for state in layer:
            read, number = state
            found = [
                (said, (observed(read, seen), new))
                for said, new, seen in worlds.after(number)
            ]
            world = worlds.known[number]
            result = stepped(read, world, scenario, rules)
            if isinstance(result, Answer):
                if broken := broken_by(result, read):
                    return Found(len(came), told(came, state, read.step, broken))
                following_read = next_read(result, read, world, scenario)
            else:
                following_read = result
            if following_read is not None:
                found.append((f"reader: {read.step}", (following_read, number)))
            for said, new_state in found:
                if new_state not in came:
                    came[new_state] = (state, said)
                    following.append(new_state)
        layer = following
    return Found(len(came))


State = tuple[Read, int]
Came = dict[State, tuple[State | None, str]]


class Seen(NamedTuple):
    """What the observer sees of a world: the good values, and all that are stored."""

    good: tuple[Kept, ...] | None
    stored: frozenset[Kept]


class Worlds:
    """Numbers the worlds that the writers reach, and remembers the moves of each."""

    def __init__(self, start: World, rules: Rules) -> None:
        self.known = [start]
        self._rules = rules
        self._numbers = {start: 0}
        self._after: dict[int, list[tuple[str, int, Seen]]] = {}

    def after(self, number: int) -> list[tuple[str, int, Seen]]:
        """Each move in world *number*, the number of the next world, and its looks."""
        if number not in self._after:
            self._after[number] = found = []
            for said, new in moves(self.known[number], self._rules):
                if (at := self._numbers.setdefault(new, len(self.known))) == len(
                    self.known
                ):
                    self.known.append(new)
                found.append((said, at, Seen(good(new), frozenset(new.entries))))
        return self._after[number]


def stepped(
    read: Read, world: World, scenario: Scenario, rules: Rules
) -> Read | Answer:
    """The reader after its next step, or its answer."""
    if read.step != "begin":
        return scenario.reader(read, world, rules)
    values = good(world)
    return Read(
        "the entry, for the era",
        seen=frozenset() if values is None else frozenset((values,)),
        unbroken=values is not None,
        before=read.before,
        grows=read.before >= 0 and not read.unbroken,
    )


def observed(read: Read, world: Seen) -> Read:
    """What the observer knows after a move of a writer.

    Values that are neither stored nor loaded can never be in the answer, because none
    is stored twice: they are forgotten, which leaves fewer states.
    """
    values, stored = world
    if read.step == "begin":
        unbroken = read.unbroken and (values is not None or read.before < 0)
        return read if unbroken == read.unbroken else read._replace(unbroken=unbroken)
    possible = stored.union(read.kept)
    seen = frozenset(each for each in read.seen if possible.issuperset(each))
    if values is not None:
        seen |= {values}
    unbroken = read.unbroken and values is not None
    return read._replace(seen=seen, unbroken=unbroken)


def next_read(
    answer: Answer, read: Read, world: World, scenario: Scenario
) -> Read | None:
    """The reader between two reads; ``None`` if the schedule ends here."""
    if scenario.reads == 1 or read.before >= 0 or answer.kept is None:
        return None
    return Read(before=answer.epoch, unbroken=good(world) is not None)


def broken_by(answer: Answer, read: Read) -> str:
    """The promise that *answer* breaks, or ``''``."""
    if answer.kept is None:
        return "no, though all was good throughout" if read.unbroken else ""
    if answer.kept not in read.seen:
        return f"never good at one instant: {answer.kept}"
    if not read.ran:
        return f"the lease had run out when the result was built: {answer.kept}"
    if read.before >= 0 and answer.epoch < read.before + read.grows:
        return f"epoch {answer.epoch} after {read.before}"
    return ""


def told(came: Came, state: State | None, step: str, broken: str) -> tuple[str, ...]:
    """The schedule that leads to *state*, its last *step*, and what it breaks."""
    lines = [broken, f"reader: {step}"]
    while state is not None:
        state, said = came[state]
        lines.append(said)
    return tuple(reversed(lines[:-1]))
