"""The functions by which compiled calls follow one another and are shared among threads, without Python between them.

All take one table, as kernels do, so that a sequence may be a part and parts a step of a sequence. A crew is one block of memory (``PLACES``): who
has parts to share claims it, posts them and takes part; who finds it claimed does all of his parts himself. Helpers look for parts a bounded
number of times, then sleep until a bell rings. A part is taken by adding one to a ticket that holds how many there are, so that no part is taken
twice or of a job that is over, and a helper that never comes is not waited for. One that stands still within a part, for others want its core, is:
after that the caller does without helpers for a while, and for longer when it happens again.
"""

from __future__ import annotations

from string import Template

LOOKS = 12000  # times that a helper looks for parts before it sleeps: half a millisecond or less
PATIENCE = 4096  # times that the caller looks whether the last part has ended, before he sleeps
LATE = 200_000  # nanoseconds that a helper may take longer than the caller has worked, before the core counts as another's
LEVELS = 6  # doublings of the time without helpers
GIVE_WAY = 64  # looks after which whoever else wants the core may have it
LINE = 128  # bytes that processors fetch together
WORDS = ("ticket", "left", "parts", "claimed", "bell", "asleep", "waiting", "helpers", "stop", "syscall", "clock", "until", "level")
PLACES = {word: i * LINE for i, word in enumerate(WORDS)}
SIZE = LINE * len(WORDS)
NUMBERS = {"x86_64": (202, 24), "aarch64": (98, 124)}  # of Linux's calls futex and sched_yield, by machine
WAIT, WAKE = 128, 129  # futex operations, for threads of one process

TEXT = Template("""
define internal void @one(ptr %calls, i64 %i) nounwind {
  %at = shl i64 %i, 1
  %function.at = getelementptr i64, ptr %calls, i64 %at
  %table.at = getelementptr i64, ptr %function.at, i64 1
  %function = load ptr, ptr %function.at, align 8
  %table = load ptr, ptr %table.at, align 8
  call void %function(ptr %table)
  ret void
}

; table: how many, then function and table of each
define void @sequence(ptr %table) nounwind {
entry:
  %n = load i64, ptr %table, align 8
  %calls = getelementptr i64, ptr %table, i64 1
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void @one(ptr %calls, i64 %i)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}

define internal void @futex(ptr %crew, ptr %word, i64 %what, i64 %value) nounwind {
  %syscall.at = getelementptr i8, ptr %crew, i64 $syscall
  %syscall = load ptr, ptr %syscall.at, align 8
  %done = call i64 (i64, ...) %syscall(i64 $futex, ptr %word, i64 %what, i64 %value, ptr null, ptr null, i64 0)
  ret void
}

define internal i64 @now(ptr %crew) nounwind {
  %time = alloca [2 x i64], align 8
  %clock.at = getelementptr i8, ptr %crew, i64 $clock
  %clock = load ptr, ptr %clock.at, align 8
  %done = call i32 %clock(i32 1, ptr %time)
  %seconds = load i64, ptr %time, align 8
  %rest.at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest.at, align 8
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  ret i64 %now
}

; after a wait for a helper that stood still: no helpers for as long, doubled where it has been so lately
define internal void @apart(ptr %crew, i64 %begun, i64 %worked, i64 %ended) nounwind {
entry:
  %work = sub i64 %worked, %begun
  %wait = sub i64 %ended, %worked
  %fair = add i64 %work, $late
  %late = icmp ugt i64 %wait, %fair
  br i1 %late, label %longer, label %end
longer:
  %until.at = getelementptr i8, ptr %crew, i64 $until
  %level.at = getelementptr i8, ptr %crew, i64 $level
  %before = load i64, ptr %until.at, align 8
  %level = load i64, ptr %level.at, align 8
  %last = shl i64 %wait, %level
  %since = sub i64 %ended, %before
  %again = icmp ult i64 %since, %last
  %more = add i64 %level, 1
  %next = select i1 %again, i64 %more, i64 1
  %most = icmp ugt i64 %next, $levels
  %held = select i1 %most, i64 $levels, i64 %next
  %pause = shl i64 %wait, %held
  %until = add i64 %ended, %pause
  store i64 %held, ptr %level.at, align 8
  store i64 %until, ptr %until.at, align 8
  br label %end
end:
  ret void
}

; a moment: now and then whoever else wants this core may have it
define internal void @moment(ptr %crew, i64 %looks) nounwind {
entry:
  $pause
  %rest = urem i64 %looks, $give_way
  %give = icmp eq i64 %rest, 0
  br i1 %give, label %yield, label %end
yield:
  %syscall.at = getelementptr i8, ptr %crew, i64 $syscall
  %syscall = load ptr, ptr %syscall.at, align 8
  %done = call i64 (i64, ...) %syscall(i64 $yield)
  br label %end
end:
  ret void
}

; table: the crew; wakes all helpers
define void @ring(ptr %table) nounwind {
  %crew = load ptr, ptr %table, align 8
  %bell.at = getelementptr i8, ptr %crew, i64 $bell
  %rung = atomicrmw add ptr %bell.at, i32 1 seq_cst, align 4
  call void @futex(ptr %crew, ptr %bell.at, i64 $wake, i64 2147483647)
  ret void
}

; takes parts until none is left
define internal void @take(ptr %crew) nounwind {
entry:
  %ticket.at = getelementptr i8, ptr %crew, i64 $ticket
  %parts.at = getelementptr i8, ptr %crew, i64 $parts
  %left.at = getelementptr i8, ptr %crew, i64 $left
  %waiting.at = getelementptr i8, ptr %crew, i64 $waiting
  br label %next
next:
  %ticket = atomicrmw add ptr %ticket.at, i64 1 seq_cst, align 8
  %i = and i64 %ticket, 4294967295
  %n = lshr i64 %ticket, 32
  %mine = icmp ult i64 %i, %n
  br i1 %mine, label %work, label %end
work:
  %parts = load ptr, ptr %parts.at, align 8
  call void @one(ptr %parts, i64 %i)
  %left = atomicrmw sub ptr %left.at, i64 1 seq_cst, align 8
  %last = icmp eq i64 %left, 1
  br i1 %last, label %ended, label %next
ended:
  %waiting = load atomic i64, ptr %waiting.at seq_cst, align 8
  %tell = icmp ne i64 %waiting, 0
  br i1 %tell, label %wake, label %end
wake:
  call void @futex(ptr %crew, ptr %left.at, i64 $wake, i64 1)
  br label %end
end:
  ret void
}

; table: the crew, how many parts, then function and table of each
define void @shared(ptr %table) nounwind {
entry:
  %crew = load ptr, ptr %table, align 8
  %n.at = getelementptr i64, ptr %table, i64 1
  %calls = getelementptr i64, ptr %table, i64 2
  %helpers.at = getelementptr i8, ptr %crew, i64 $helpers
  %helpers = load atomic i64, ptr %helpers.at monotonic, align 8
  %alone = icmp eq i64 %helpers, 0
  br i1 %alone, label %serial, label %claim
claim:
  %claimed.at = getelementptr i8, ptr %crew, i64 $claimed
  %claimed = cmpxchg ptr %claimed.at, i64 0, i64 1 seq_cst seq_cst, align 8
  %free = extractvalue { i64, i1 } %claimed, 1
  br i1 %free, label %alike, label %serial
alike:
  %begun = call i64 @now(ptr %crew)
  %until.at = getelementptr i8, ptr %crew, i64 $until
  %until = load i64, ptr %until.at, align 8
  %apart = icmp slt i64 %begun, %until
  br i1 %apart, label %free.again, label %post
free.again:
  store atomic i64 0, ptr %claimed.at seq_cst, align 8
  br label %serial
serial:
  call void @sequence(ptr %n.at)
  ret void
post:
  %n = load i64, ptr %n.at, align 8
  %parts.at = getelementptr i8, ptr %crew, i64 $parts
  %left.at = getelementptr i8, ptr %crew, i64 $left
  %ticket.at = getelementptr i8, ptr %crew, i64 $ticket
  store ptr %calls, ptr %parts.at, align 8
  store atomic i64 %n, ptr %left.at seq_cst, align 8
  %ticket = shl i64 %n, 32
  %before = atomicrmw xchg ptr %ticket.at, i64 %ticket seq_cst, align 8
  %asleep.at = getelementptr i8, ptr %crew, i64 $asleep
  %asleep = load atomic i64, ptr %asleep.at seq_cst, align 8
  %ring = icmp ne i64 %asleep, 0
  br i1 %ring, label %bell, label %own
bell:
  call void @ring(ptr %table)
  br label %own
own:
  call void @take(ptr %crew)
  %open = load atomic i64, ptr %left.at seq_cst, align 8
  %all = icmp eq i64 %open, 0
  br i1 %all, label %end, label %begin
begin:
  %worked = call i64 @now(ptr %crew)
  br label %look
look:
  %looks = phi i64 [ 0, %begin ], [ %again, %patient ]
  %left = load atomic i64, ptr %left.at seq_cst, align 8
  %done = icmp eq i64 %left, 0
  br i1 %done, label %end, label %patient
patient:
  %again = add i64 %looks, 1
  call void @moment(ptr %crew, i64 %again)
  %more = icmp ult i64 %again, $patience
  br i1 %more, label %look, label %tired
tired:
  %waiting.at = getelementptr i8, ptr %crew, i64 $waiting
  store atomic i64 1, ptr %waiting.at seq_cst, align 8
  br label %asleep.look
asleep.look:
  %still = load atomic i64, ptr %left.at seq_cst, align 8
  %over = icmp eq i64 %still, 0
  br i1 %over, label %awake, label %sleep
sleep:
  call void @futex(ptr %crew, ptr %left.at, i64 $wait, i64 %still)
  br label %asleep.look
awake:
  store atomic i64 0, ptr %waiting.at seq_cst, align 8
  %ended = call i64 @now(ptr %crew)
  call void @apart(ptr %crew, i64 %begun, i64 %worked, i64 %ended)
  br label %end
end:
  store atomic i64 0, ptr %claimed.at seq_cst, align 8
  ret void
}

; table: the crew; returns when told to stop
define void @help(ptr %table) nounwind {
entry:
  %crew = load ptr, ptr %table, align 8
  %ticket.at = getelementptr i8, ptr %crew, i64 $ticket
  %bell.at = getelementptr i8, ptr %crew, i64 $bell
  %asleep.at = getelementptr i8, ptr %crew, i64 $asleep
  %stop.at = getelementptr i8, ptr %crew, i64 $stop
  br label %look
look:
  %looks = phi i64 [ 0, %entry ], [ 0, %work ], [ %again, %idle ], [ 0, %awake ]
  %stop = load atomic i64, ptr %stop.at seq_cst, align 8
  %stops = icmp ne i64 %stop, 0
  br i1 %stops, label %end, label %search
search:
  %ticket = load atomic i64, ptr %ticket.at seq_cst, align 8
  %i = and i64 %ticket, 4294967295
  %n = lshr i64 %ticket, 32
  %open = icmp ult i64 %i, %n
  br i1 %open, label %work, label %idle
work:
  call void @take(ptr %crew)
  br label %look
idle:
  %again = add i64 %looks, 1
  call void @moment(ptr %crew, i64 %again)
  %more = icmp ult i64 %again, $looks
  br i1 %more, label %look, label %tired
tired:
  %heard = load atomic i32, ptr %bell.at seq_cst, align 4
  %counted = atomicrmw add ptr %asleep.at, i64 1 seq_cst, align 8
  %ticket.again = load atomic i64, ptr %ticket.at seq_cst, align 8
  %i.again = and i64 %ticket.again, 4294967295
  %n.again = lshr i64 %ticket.again, 32
  %open.again = icmp ult i64 %i.again, %n.again
  %stop.again = load atomic i64, ptr %stop.at seq_cst, align 8
  %stops.again = icmp ne i64 %stop.again, 0
  %up = or i1 %open.again, %stops.again
  br i1 %up, label %awake, label %sleep
sleep:
  %value = zext i32 %heard to i64
  call void @futex(ptr %crew, ptr %bell.at, i64 $wait, i64 %value)
  br label %awake
awake:
  %woken = atomicrmw sub ptr %asleep.at, i64 1 seq_cst, align 8
  br label %look
end:
  ret void
}
""")


def text(machine: str) -> str:
    """The module for Linux on a ``machine`` of ``NUMBERS``."""
    futex, give = NUMBERS[machine]
    x86 = machine == "x86_64"
    pause = "call void @llvm.x86.sse2.pause()" if x86 else "; no instruction"
    words = {"futex": futex, "yield": give, "wait": WAIT, "wake": WAKE, "pause": pause, "give_way": GIVE_WAY, "patience": PATIENCE, "looks": LOOKS,
             "late": LATE, "levels": LEVELS}
    body = TEXT.substitute(PLACES, **words)
    return body + ("\ndeclare void @llvm.x86.sse2.pause()\n" if x86 else "")
