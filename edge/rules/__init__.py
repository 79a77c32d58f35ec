"""Rules are data in one small language: read, typed, compiled once, evaluated as samples come, with one heap of timers.

    tokens, language  text -> syntax tree (syntax), with the place of every word in its file (places)
    written_back      the tree -> text
    checking, types   the tree against points, enumerations and units; scope: the names it may use
    forms, far        calls that do not take values only; points of other devices
    building          the tree -> nodes for one device
    blueprint         how these are made, planned once for all devices that look the same
    nodes, operators  small objects that recompute their value when one below changed; stopwatch: of known time
    signature         what an operator takes and gives
    windows, sequences, baselines    the operators that look back over numbers and orders of events
    happenings        events inside an expression: `on`, `cmd`, and what a late one may do
    sets, member      conditions over other devices: who is meant, and each one's answer
    graph             the nodes of one expression or one rule on one device, evaluated in order, only what is affected
    decide, instance  a condition in time -> raise, level, clear, note
    explaining        what each piece of a condition says now, and what it waits for
    linkage           `do:`, `forbid:` and `suppress:`, what a rule reaches out to while it holds
    suppression       which alarms that comes to
    reading, rule     a rule's text -> a rule, with every fault in it
    compiling         rule files -> rules for the devices of one site
    engine, derives   a stream of samples and events -> verdicts; a stream of samples -> derived samples
    page              a page about a pack, for people
    packs             rule files; testing, trial: the tests written beside each rule, and the small site they run in

Semantics (each is a test; `tests/reference_evaluator.py` says it all again, slowly):

- A condition is true, false or unknown. An input that is not good is unknown, by Kleene's strong logic.
- Every time span counts known time only: unknown stops the watch, the next true goes on, false starts anew.
- Time is the samples' own receipt time. Timers fire in time order between samples; one due at the very moment of a
  sample fires before it. Samples of one moment are one step: the rule sees what is true when the moment is over.
- An event is a moment of its own and decided at once. A late one is counted, and starts no watch.
- State is saved as of a moment. The time from there to the restart is no time at all, and all inputs are unknown
  until heard again.
"""
