"""What is done to keys, each key in one script, so that nobody writes it between looking and changing.

What undoing needs is written in the same step: a spoiled value carries its original, and the ends of keys
stand in a hash named by the fault's mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from chaos_locust.backends.redis.server import RedisServer
from chaos_locust.errors import BackendError

REGISTRY = "chaos-locust"
"""A hash in the target: mark -> its Undo as JSON, without the URL. By it `scan` finds faults."""
LARGEST_VALUE_BYTES = 256 * 1024
MOST_NOTED = 100_000
_BATCH = 200
_NEAR_MS = 5  # TIME and PTTL can differ by as much within one script

# Counts what a script calls, for the server counts it as calls of clients.
_COUNTED = """
local calls, n = {}, 0
local function call(name, ...)
  calls[name] = (calls[name] or 0) + 1
  return redis.call(name, ...)
end
local function string_of(key)
  if call('type', key).ok ~= 'string' then return nil end
  return call('get', key)
end
local function done(count)
  return cjson.encode({n = count, calls = calls})
end
"""

_CORRUPT = """
local prefix, limit, largest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 4, #ARGV do
  if n >= limit then break end
  local value = string_of(ARGV[i])
  if value and #value <= largest and string.sub(value, 1, 6) ~= 'chaos-' then
    call('set', ARGV[i], prefix .. string.reverse(value), 'KEEPTTL')
    n = n + 1
  end
end
return done(n)
"""

_MEND = """
local prefix, mend = ARGV[1], ARGV[2] == '1'
for i = 3, #ARGV do
  local value = string_of(ARGV[i])
  if value and string.sub(value, 1, #prefix) == prefix then
    if mend then call('set', ARGV[i], string.reverse(string.sub(value, #prefix + 1)), 'KEEPTTL') end
    n = n + 1
  end
end
return done(n)
"""

_EXPIRE = """
local journal, ttl, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = call('time')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local room = most - call('hlen', journal)
for i = 4, #ARGV do
  local left = call('pttl', ARGV[i])
  if n >= room then break end
  if left > ttl then
    call('hset', journal, ARGV[i], string.format('%.0f %.0f', now + left, now + ttl))
    call('pexpireat', ARGV[i], string.format('%.0f', now + ttl))
    n = n + 1
  end
end
return done(n)
"""

_GIVE_BACK = """
local journal, near = ARGV[1], tonumber(ARGV[2])
local now = call('time')
now = now[1] * 1000 + math.floor(now[2] / 1000)
for i = 3, #ARGV do
  local noted = call('hget', journal, ARGV[i])
  local left = call('pttl', ARGV[i])
  if noted and left > 0 then
    local theirs, ours = string.match(noted, '(%d+) (%d+)')
    if math.abs(now + left - tonumber(ours)) <= near then
      call('pexpireat', ARGV[i], theirs)
      n = n + 1
    end
  end
  call('hdel', journal, ARGV[i])
end
return done(n)
"""

# What undoing needs survives: the registry, and the journals that it names.
_FLUSH_ALL = """
local kept, ours = {}, call('hkeys', ARGV[1])
ours[#ours + 1] = ARGV[1]
for _, key in ipairs(ours) do kept[key] = call('dump', key) or nil end
local count = call('dbsize')
call('flushdb', 'ASYNC')
for key, value in pairs(kept) do
  call('restore', key, 0, value)
  count = count - 1
end
return done(count)
"""


def corrupt(server: RedisServer, keys: str, mark: str, count: int) -> int:
    """How many values were spoiled now, `count` at most."""
    done = 0
    for batch in _batches(server.scan(keys)):
        done += _run(server, _CORRUPT, prefix_of(mark), count - done, LARGEST_VALUE_BYTES, *batch)
        if done >= count:
            break
    return done


def mend(server: RedisServer, keys: str, mark: str, really: bool = True) -> int:
    """How many values were spoiled, and are no longer; not `really`: how many are."""
    batches = _batches(server.scan(keys))
    return sum(_run(server, _MEND, prefix_of(mark), int(really), *batch) for batch in batches)


def expire(server: RedisServer, keys: str, mark: str, ttl_s: float) -> int:
    """How many keys were given a nearer end now."""
    limits = (round(ttl_s * 1000), MOST_NOTED)
    return sum(_run(server, _EXPIRE, mark, *limits, *batch) for batch in _batches(server.scan(keys)))


def give_back(server: RedisServer, mark: str) -> int:
    """How many keys have their own end again."""
    batches = _batches(server.call("HKEYS", mark))
    return sum(_run(server, _GIVE_BACK, mark, _NEAR_MS, *batch) for batch in batches)


def flush(server: RedisServer, keys: str) -> int:
    """How many keys were deleted."""
    if keys == "*":
        return _run(server, _FLUSH_ALL, REGISTRY)
    return sum(int(server.call("UNLINK", *batch)) for batch in _batches(server.scan(keys)))


def prefix_of(mark: str) -> str:
    """What a spoiled value begins with."""
    return f"{mark}:"


def _run(server: RedisServer, script: str, *arguments: Any) -> int:
    answer = server.script(_COUNTED + script, *arguments)
    count = answer.get("n")
    if not isinstance(count, int):
        raise BackendError(f"{server.shown} answered a script with {count!r}")
    return count


def _batches(keys: Sequence[bytes]) -> Iterator[list[bytes]]:
    rest = iter(keys)
    while batch := list(islice(rest, _BATCH)):
        yield batch
