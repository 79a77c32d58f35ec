"""Deliberately broken variants of the product, each with the test that must turn red, and how to make one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulators.stage import replaced

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = (
    "sitekeeper", "drivers", "edge", "cloud_sync", "office", "simulators", "benchmarks", "config", "tests",
    "pyproject.toml",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One way of being wrong.

    Attributes:
        file: where the mistake is made. changes: (what stands there exactly once, what stands there instead).
        test: node id of the test that finds it.
        experiment: that of a fault test which finds it too, and takes longer; asked with SITEKEEPER_FULL=1 only.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    test: str
    experiment: str = ""


_UNRELEASED: Final = (
    "tests/unit/cloud_sync/test_shells.py::test_without_an_office_nothing_is_released_whatever_the_broker_says"
)
_DEAD: Final = (
    "tests/acceptance/test_s4_doors.py::test_numbers_lost_while_the_gateway_is_dead_are_a_gap_and_nothing_is_told_twice"
)
_UNSEEN: Final = (
    "tests/unit/edge/test_commander.py::test_a_device_that_hangs_is_given_up_and_an_unseen_effect_is_unconfirmed"
)
_ABUSES: Final = "tests/unit/edge/test_orders.py::test_each_abuse_is_refused_and_audited"
_UPLINK: Final = "tests/unit/cloud_sync/test_uplink_machine.py"
_POLLER: Final = "tests/unit/edge/test_poller.py"
_TABLES: Final = "tests/unit/edge/settings/test_table_maps.py::test_derived_points_mean_what_the_class_says"
_MAKERS: Final = "tests/integration/test_maker_maps.py::test_every_point_means_what_the_document_says"
_PUBLISHED: Final = "self._machine.published(stream, sequence, reason, self._clock.monotonic())\n"
_READ: Final = "self._remember(payload, (self._source.epoch, stream, sequence))\n"
_FORGET: Final = "self._source.release(self._source.epoch, [(stream, sequence, sequence)])\n"

MUTANTS: Final = (
    Mutant(
        name="a BBMD that refused once is never asked again",
        file="drivers/bacnet/foreign.py",
        changes=(("if link.bbmdRegistrationStatus not in {_UNDER_WAY, _REGISTERED}:", "if link is None:"),),
        test="tests/unit/drivers/test_bacnet_foreign.py"
        "::test_a_registration_is_taken_up_again_for_as_long_as_the_link_is_open",
    ),
    Mutant(
        name="a notification held up is believed",
        file="drivers/bacnet/cov.py",
        changes=(("            if not self._in_time(one, notice.remaining, now):\n", "            if False:\n"),),
        test="tests/unit/drivers/test_bacnet_cov.py::test_an_old_notification_is_read_instead",
    ),
    Mutant(
        name="made-up values are good",
        file="drivers/bacnet/flags.py",
        changes=(("    return MADE_UP if made_up else GOOD\n", "    return GOOD\n"),),
        test="tests/unit/drivers/test_bacnet_flags.py::test_flags_that_are_told_hold_at_once",
    ),
    Mutant(
        name="accepted is as good as told",
        file="drivers/bacnet/cov.py",
        changes=(("State.ALIVE if one.proven else State.UNPROVEN", "State.ALIVE"),),
        test="tests/unit/drivers/test_bacnet_cov.py::test_it_is_alive_once_a_notification_has_come",
    ),
    Mutant(
        name="what is told vouches for the rest",
        file="edge/changes.py",
        changes=(("        if scan.told:\n", "        if False:\n"),),
        test="tests/unit/edge/test_changes.py::test_what_is_told_unasked_vouches_for_nothing_else",
    ),
    Mutant(
        name="receipt on broker acknowledgement",
        file="cloud_sync/uplink.py",
        changes=((_PUBLISHED, _PUBLISHED + " " * 8 + _FORGET),),
        test=_UNRELEASED,
    ),
    Mutant(
        name="delete on publish",
        file="cloud_sync/uplink.py",
        changes=((_READ, _READ + " " * 16 + _FORGET),),
        test="tests/unit/cloud_sync/test_shells.py::test_without_an_office_nothing_is_released_whatever_the_broker_says",
        experiment="tests/faults/test_net_lines.py::test_a_line_that_was_gone_brings_alarms_first_and_then_the_rest",
    ),
    Mutant(
        name="no patience with a slow line",
        file="cloud_sync/mqtt_settings.py",
        changes=(("self.patience = min(max(patience, self.settings.timeout), ", "self.patience = min(0.4, "),),
        test="tests/unit/cloud_sync/test_line.py::test_a_good_line_is_given_little_patience_and_a_bad_one_more",
        experiment="tests/faults/test_net_lines.py::test_a_bad_line_lets_alarms_through_within_seconds",
    ),
    Mutant(
        name="silence known to the sender only",
        file="cloud_sync/mqtt.py",
        changes=(("            lost.set_exception(aiomqtt.MqttError(why))\n", "            pass\n"),),
        test="tests/faults/test_net_cuts.py::test_who_only_listens_hears_of_a_publish_without_an_answer",
    ),
    Mutant(
        name="all gateways knock at once",
        file="cloud_sync/uplink.py",
        changes=(
            ("self._back_off(int(self._random.uniform(0.5, 1.0) * delay))", "self._back_off(delay)"),
            ("int(self._random.uniform(0.5, 1.0) * self._settings.backoff_alarms)", "self._settings.backoff_alarms"),
        ),
        test="tests/unit/cloud_sync/test_back_off.py::test_what_is_away_is_asked_for_less_and_less_often_and_by_chance",
        experiment="tests/faults/test_net_herd.py",
    ),
    Mutant(
        name="no dedupe",
        file="cloud_sync/store/apply.py",
        changes=(('if applied != "new":', 'if applied == "conflict":'),),
        test="tests/unit/cloud_sync/test_store.py::test_a_block_twice_is_a_block_once",
        experiment="tests/faults/test_net_cuts.py",
    ),
    Mutant(
        name="a silent unit is asked as often as any other",
        file="edge/bus/doubts.py",
        changes=(("SHARE: Final = 10\n", "SHARE: Final = 1\n"),),
        test=f"{_POLLER}::test_a_silent_neighbour_costs_others_nothing_where_time_is_enough",
    ),
    Mutant(
        name="time-outs follow one another while others wait",
        file="edge/bus/scheduler.py",
        changes=(("if not self._owed and tried", "if tried"),),
        test=f"{_POLLER}::test_dead_neighbours_take_turns_and_the_living_one_is_read_between_any_two_time_outs",
    ),
    Mutant(
        name="points of alarms wait like all others",
        file="edge/bus/scheduler.py",
        changes=(("bytes(group.id in urgent for group in groups)", "bytes(len(groups))"),),
        test=f"{_POLLER}::test_urgent_groups_keep_their_period_on_a_link_that_is_asked_for_too_much",
    ),
    Mutant(
        name="what is not urgent starves",
        file="edge/bus/scheduler.py",
        changes=(("return self._ordinary.late(now) and self._since", "return False and self._since"),),
        test="tests/unit/edge/bus/test_bus_properties.py::test_urgent_groups_that_ask_for_everything_leave_a_tenth",
    ),
    Mutant(
        name="what was missed is made up for",
        file="edge/bus/lane.py",
        changes=(("            if late > 0:\n", "            if False:\n"),),
        test=f"{_POLLER}::test_missed_turns_are_counted_and_never_made_up_for",
    ),
    Mutant(
        name="half-open links not found",
        file="cloud_sync/uplink_machine.py",
        changes=(("return bool(self._in_flight) and now - self._quiet_since >= most", "return False"),),
        test=f"{_UPLINK}::test_silence_shrinks_the_window_probes_and_then_reconnects",
        experiment="tests/faults/test_net_lines.py::test_half_open_ways_are_found_and_healed",
    ),
    Mutant(
        name="reserve never given back",
        file="edge/outbox/writer.py",
        changes=(("        self._reserve.give_back()\n", ""),),
        test="tests/unit/edge/outbox/test_space.py"
        "::test_an_alarm_is_durable_on_a_full_disk_and_the_samples_before_it_are_told",
        experiment="tests/faults/test_full_disk.py",
    ),
    Mutant(
        name="alarms wait behind samples",
        file="cloud_sync/uplink_machine.py",
        changes=(('< most and self._may_publish("alarms")', '< most and not self.count("samples")'),),
        test=f"{_UPLINK}::test_what_waits_for_the_brokers_answer_is_bounded_in_bytes_and_alarms_pass",
    ),
    Mutant(
        name="a short answer on a serial line is believed",
        file="drivers/modbus/scanning.py",
        changes=(("            return self._link.numbered\n", "            return True\n"),),
        test="tests/integration/test_modbus_serial_faults.py::test_a_request_that_always_fails_spoils_no_other",
    ),
    Mutant(
        name="a refused register takes its neighbours along",
        file="drivers/modbus/plan.py",
        changes=(("if not fits or learned.blocks(Run(span.table, first, reached - first)):", "if not fits:"),),
        test="tests/unit/drivers/test_modbus_plan.py::test_what_was_refused_is_never_part_of_something_larger",
    ),
    Mutant(
        name="no length check",
        file="drivers/modbus/reply.py",
        changes=(("if told != expected.size or there != expected.size:", "if False:"),),
        test="tests/unit/drivers/test_modbus_reply.py::test_wrong_answers",
    ),
    Mutant(
        name="wall-clock timers",
        file="edge/pipeline.py",
        changes=(
            ("self._clock = clock\n", "self._clock = clock\n        self._began = clock.wall() - clock.monotonic()\n"),
            ("mono=self._clock.monotonic(), trusted", "mono=self._clock.wall() - self._began, trusted"),
        ),
        test="tests/unit/edge/test_pipeline_clock.py::test_a_step_of_the_wall_clock_moves_no_timer",
    ),
    Mutant(
        name="every timer on the wall clock",
        file="sitekeeper/model/clock.py",
        changes=(("return time.monotonic_ns() // 1_000", "return time.time_ns() // 1_000"),),
        test="tests/unit/sitekeeper/test_clock.py::test_a_step_of_the_wall_clock_moves_no_timer",
        experiment="tests/faults/test_clock_steps.py::test_steps_of_the_wall_clock_move_nothing",
    ),
    Mutant(
        name="alarm told from memory counted twice",
        file="cloud_sync/store/volatile.py",
        changes=(("    if told is None:\n", "    if True:\n"),),
        test="tests/unit/cloud_sync/test_volatile.py::test_the_durable_block_settles_what_was_told",
    ),
    Mutant(
        name="a device that is gone kept alive by what the broker repeats",
        file="drivers/mqtt/last.py",
        changes=((" = now.mono if self.grace is None else self.grace\n", " = now.mono\n"),),
        test="tests/unit/drivers/mqtt/test_retained.py::test_reconnecting_again_and_again_keeps_no_dead_device_alive",
    ),
    Mutant(
        name="a message for one device taken by its neighbour",
        file="drivers/mqtt/topics.py",
        changes=(
            ("by_key.setdefault(tuple(levels[at][2:] for at in fixed), [])", "by_key.setdefault((), [])"),
            ("in by_key.get(tuple(levels[at] for at in fixed), ()):", "in by_key.get((), ()):"),
        ),
        test="tests/unit/drivers/mqtt/test_shared.py::test_a_thousand_devices_on_one_subscription",
    ),
    Mutant(
        name="one topic that is not allowed costs the whole link",
        file="drivers/mqtt/subscribing.py",
        changes=(("            return error\n", "            raise\n"),),
        test="tests/unit/drivers/mqtt/test_link.py::test_a_topic_that_is_not_allowed_is_a_fault_of_its_device",
    ),
    Mutant(
        name="an event told twice because two subscriptions bring it",
        file="drivers/mqtt/topics.py",
        changes=(("and one in found and covers(one, each)", "and False"),),
        test="tests/unit/drivers/mqtt/test_topics.py::test_every_message_comes_and_no_other",
    ),
    Mutant(
        name="life safety shelved",
        file="edge/alarms.py",
        changes=(('raise Refused("protects-life", "what protects life is never shelved")', "pass"),),
        test="tests/unit/edge/test_alarms_held.py::test_life_safety_is_never_shelved_and_never_out_of_service",
    ),
    Mutant(
        name="a level that is shown through is hidden all the same",
        file="sitekeeper/model/veil.py",
        changes=(("if self.veils and not self.through:", "if self.veils:"),),
        test="tests/unit/sitekeeper/test_alarm_machine.py::test_a_level_shown_through_a_veil_rings_and_goes_back_under_it",
    ),
    Mutant(
        name="an alarm off the shelf that nobody is told of",
        file="sitekeeper/model/veil.py",
        changes=(("    if base in ACTIVE:\n        return AlarmState.UNACKED\n", ""),),
        test="tests/unit/sitekeeper/test_alarm_machine.py::test_nothing_is_lost_on_the_way_out",
    ),
    Mutant(
        name="a permit without an end",
        file="edge/alarms.py",
        changes=(("        _within(until - now.wall, PERMIT)\n", ""),),
        test="tests/unit/edge/test_alarms_held.py::test_out_of_service_needs_a_permit_somebody_on_site_and_an_end",
    ),
    Mutant(
        name="alarms wait for the disk however long",
        file="edge/announce.py",
        changes=(("if waiting.due <= now.mono", "if waiting.due < 0"),),
        test="tests/unit/edge/test_announce.py::test_after_a_second_an_alarm_is_told_and_what_follows_at_once",
    ),
    Mutant(
        name="bad input treated as false",
        file="edge/rules/engine.py",
        changes=(("record.value if record.q < 64 else None", "record.value if record.q < 64 else False"),),
        test="tests/unit/edge/rules/test_packs.py::test_the_tests_beside_the_shipped_rules_pass",
    ),
    Mutant(
        name="event acknowledged before the commit",
        file="drivers/mqtt/driver.py",
        changes=(("await self._durable(pending)", "await asyncio.sleep(0)"),),
        test="tests/unit/drivers/mqtt/test_acknowledging.py::test_acknowledged_only_when_durable",
    ),
    Mutant(
        name="event ledger forgotten at a restart",
        file="edge/flowside.py",
        changes=(("occurrences=Occurrences(state.rule_state)", "occurrences=Occurrences({})"),),
        test=_DEAD,
    ),
    Mutant(
        name="write confirmed without read-back",
        file="edge/commands/carrying.py",
        changes=(("shown = guard.shows(self._target, step.value, self._desk.present(since))", "shown = True"),),
        test=_UNSEEN,
    ),
    Mutant(
        name="interlock believed whatever its quality",
        file="edge/commands/guard.py",
        changes=(("is_good(sample.q) and self.fresh(point)", "self.fresh(point)"),),
        test="tests/unit/edge/test_never_remote.py::test_a_barrier_is_not_closed_unless_it_is_known_to_be_clear",
    ),
    Mutant(
        name="order obeyed whoever signed it",
        file="sitekeeper/order.py",
        changes=(("if not verify(", "if False and not verify("),),
        test=f"{_ABUSES}[a bit of the signature]",
    ),
    Mutant(
        name="order carried out as often as it comes",
        file="edge/commands/orders.py",
        changes=(("self._remember(order.id)", "pass"),),
        test=_ABUSES,
    ),
    Mutant(
        name="order good as long as its nonce",
        file="edge/commands/orders.py",
        changes=(("-EARLY <= age <= VALID_FOR", "-EARLY <= age"),),
        test="tests/unit/edge/test_orders.py::test_an_order_lives_ten_seconds_of_the_sites_own_monotonic_clock",
    ),
    Mutant(
        name="site opens a barrier for one person",
        file="edge/commands/orders.py",
        changes=(("if order.target in self._by_two and", "if False and"),),
        test=f"{_ABUSES}[no second person]",
    ),
    Mutant(
        name="office lets one person agree with himself",
        file="office/commands.py",
        changes=(("if same_person(caller.name, row.who):", "if False:"),),
        test="tests/unit/office/test_commands.py::test_the_second_person_is_not_the_first_written_otherwise",
    ),
    Mutant(
        name="program counts as one of two people",
        file="office/commands.py",
        changes=(("if by_two and not caller.person:", "if False:"),),
        test="tests/unit/office/test_commands.py::test_a_program_is_neither_of_the_two_people",
    ),
    Mutant(
        name="every refused call kept for ever",
        file="office/refusals.py",
        changes=(("if not known.rows:", "if False:"),),
        test="tests/unit/office/test_commands.py::test_an_account_that_is_refused_again_and_again_fills_no_audit",
    ),
    Mutant(
        name="enrolment code good for a second box",
        file="office/enrol/desk.py",
        changes=(("return Member(joined=now,", "return Member(invitation=invitation, joined=now,"),),
        test="tests/unit/office/test_enrol.py::test_a_code_works_once_and_for_an_hour",
    ),
    Mutant(
        name="old box not revoked when its site joins again",
        file="office/enrol/desk.py",
        changes=(("before = tuple(_revoked(issue, now) for", "before = tuple(issue for"),),
        test="tests/unit/office/test_enrol.py::test_joining_again_revokes_what_the_old_box_had",
    ),
    Mutant(
        name="site may write every site's topics",
        file="office/enrol/broker.py",
        changes=(("topic write {ROOT}/{s}/up/#", "topic write {ROOT}/#"),),
        test="tests/unit/office/test_enrol.py::test_the_access_list_names_every_site_alone",
    ),
    Mutant(
        name="receipt before the office's commit",
        file="cloud_sync/ingest.py",
        changes=(
            (
                "            outcome = await self._commit(batch)\n",
                '            guess = Outcome(applied=("new",) * len(batch.arrivals))\n'  # noqa: ISC004
                "            await self._do(self._machine.committed(batch, guess))\n"
                "            outcome = await self._commit(batch)\n",
            ),
        ),
        test="tests/unit/cloud_sync/test_shells.py::test_no_receipt_without_a_commit",
    ),
    Mutant(
        name="a site with much waiting keeps its turn",
        file="cloud_sync/dealer.py",
        changes=(
            ("self._sites[site] = turn", "self._sites = OrderedDict({site: turn}) | self._sites"),
        ),
        test="tests/unit/cloud_sync/test_dealer.py::test_a_wait_is_one_round_whatever_others_send",
    ),
    Mutant(
        name="what was sent twice is measured",
        file="cloud_sync/tempo.py",
        changes=(("if block in self._twice or since is None:", "if since is None:"),),
        test="tests/unit/cloud_sync/test_tempo.py::test_what_was_sent_twice_is_not_measured",
    ),
    Mutant(
        name="blocks under way know nothing of slower receipts",
        file="cloud_sync/uplink_machine.py",
        changes=(("flight.due = max(flight.due, self.tempo.due(flight.since))", "pass"),),
        test="tests/unit/cloud_sync/test_tempo.py::test_an_office_that_is_slow_gets_each_block_once",
    ),
    Mutant(
        name="ingest forgets its end with a new connection",
        file="cloud_sync/ingest.py",
        changes=(("self._subscribe(lane, session)\n        heed_the_end()\n", "self._subscribe(lane, session)\n"),),
        test="tests/unit/cloud_sync/test_ingest_room.py::test_an_end_that_a_library_forgets_is_an_end",
    ),
    Mutant(
        name="worker receipts an alarm that came too early",
        file="cloud_sync/ingest_shared.py",
        changes=(('enumerate(outcome.applied) if applied != "early"]', "enumerate(outcome.applied)]"),),
        test="tests/unit/cloud_sync/test_ingest_shared.py::test_what_is_early_gets_no_receipt_and_is_tried_again",
    ),
    Mutant(
        name="early alarms take the places of what they wait for",
        file="cloud_sync/ingest_parking.py",
        changes=(("return [] if arrival.connection == ANSWERED else [Acknowledge(arrival)]", "return []"),),
        test="tests/unit/cloud_sync/test_ingest_machine.py::test_what_is_parked_takes_no_place_of_what_it_waits_for",
    ),
    Mutant(
        name="saved block released when it is sent",
        file="cloud_sync/saved.py",
        changes=(
            (
                "await session.publish(up_topic(site, name[1]), payload)\n",
                "await session.publish(up_topic(site, name[1]), payload)\n"
                + " " * 12
                + "source.release(name[0], [(name[1], name[2], name[2])])\n",
            ),
        ),
        test="tests/unit/cloud_sync/test_saved.py::test_alarms_go_first_and_all_again_until_there_is_a_receipt",
    ),
    Mutant(
        name="saved alarms sent again as rarely as the rest",
        file="cloud_sync/saved.py",
        changes=(("again = AGAIN if urgent else min(", "again = min("),),
        test="tests/unit/cloud_sync/test_saved.py::test_alarms_are_sent_again_soon_whatever_else_waits",
    ),
    Mutant(
        name="alarms of an earlier file wait for a word that cannot come",
        file="cloud_sync/ingest_machine.py",
        changes=((" and self._words.is_over(key, since):", " and not key:"),),
        test="tests/unit/cloud_sync/test_ingest_machine.py"
        "::test_alarms_of_an_earlier_epoch_wait_for_no_word_that_cannot_come",
    ),
    Mutant(
        name="alarm told from memory outlives the block that took its number",
        file="cloud_sync/store/volatile.py",
        changes=((" or _is_never_to_come(sql, status.site, row))", ")"),),
        test="tests/unit/cloud_sync/test_volatile.py::test_a_number_that_is_settled_otherwise_ends_what_was_told",
    ),
    Mutant(
        name="dropped blocks not told",
        file="edge/losses.py",
        changes=(("for n in range(len(note.dropped))]", "for n in range(0)]"),),
        test="tests/unit/edge/test_losses.py::test_a_note_becomes_an_event_and_an_alarm_that_ends_after_an_hour",
    ),
    Mutant(
        name="block lost to garbage under its name",
        file="cloud_sync/store/apply.py",
        changes=(("        if found[2]:  # what", "        if False:  # what"),),
        test="tests/unit/cloud_sync/test_hostile_sync.py::test_a_block_takes_the_place_of_what_could_not_be_read",
    ),
    Mutant(
        name="what the store refuses tried for ever",
        file="cloud_sync/ingest.py",
        changes=(("                if err.refused:\n", "                if False:\n"),),
        test="tests/unit/cloud_sync/test_shells.py::test_what_the_store_cannot_hold_stops_nothing",
    ),
    Mutant(
        name="an audit folded that the office has not confirmed",
        file="edge/commands/audit_watch.py",
        changes=(("        upto = min(folded + LOT, self._held or 0)\n", "        upto = folded + LOT\n"),),
        test="tests/unit/edge/test_audit_fold.py::test_only_what_the_office_has_is_folded_until_there_is_no_room",
    ),
    Mutant(
        name="an anchor that nobody spoke of is believed",
        file="edge/commands/audit_check.py",
        changes=(("    if not spoken:\n", "    if False:\n"),),
        test="tests/unit/edge/test_audit_fold.py::test_rows_that_are_gone_without_a_word_are_tampering",
    ),
    Mutant(
        name="two gateways with one name are never sure",
        file="cloud_sync/store/identity.py",
        changes=(("SURE: Final = 4\n", "SURE: Final = 4_000\n"),),
        test="tests/unit/office/test_watch.py::test_two_gateways_that_take_turns_raise_gw12",
        experiment="tests/acceptance/test_twins.py::test_two_live_gateways_with_one_identity",
    ),
    Mutant(
        name="sites blamed for what the office cannot hear",
        file="office/silence_watch.py",
        changes=(("hears=heard and self._heard)", "hears=True)"),),
        test="tests/unit/office/test_silence_watch.py::test_one_cause_is_one_alarm_and_sites_are_judged_anew",
    ),
    Mutant(
        name="older status over a newer one",
        file="cloud_sync/store/statuses.py",
        changes=(("return bool(status.mono >= row[3])", "return True"),),
        test="tests/unit/cloud_sync/test_statuses.py::test_the_wall_clock_does_not_order_a_boot",
    ),
    Mutant(
        name="push row made twice when the commit's answer was lost",
        file="cloud_sync/store/push_log.py",
        changes=(("number = push.id or _same(sql, push)", "number = push.id"),),
        test="tests/unit/office/test_away.py::test_the_push_log_waits_for_its_store_and_makes_no_row_twice",
    ),
    Mutant(
        name="life safety waits in a flood",
        file="office/notify/stages.py",
        changes=(("if case.transition.priority not in BUNDLED or case.secret:", "if case.secret:"),),
        test="tests/unit/office/test_stages.py::test_only_faults_and_notes_wait_in_a_flood_or_a_chatter",
    ),
    Mutant(
        name="others are called although somebody has acknowledged",
        file="office/notify/stages.py",
        changes=(("    if case.acknowledged:\n", "    if case.acknowledged and not case.step:\n"),),
        test="tests/unit/office/test_told_together.py::test_an_acknowledgement_ends_the_ladder",
    ),
    Mutant(
        name="every engineer is told of duress",
        file="edge/socket_api.py",
        changes=(("return uid == 0 or SECURITY_GROUP in", "return uid in (0, os.getuid()) or SECURITY_GROUP in"),),
        test="tests/integration/test_socket_api.py::test_duress_is_for_root_and_one_group_alone",
    ),
    Mutant(
        name="an entry told late undoes the exit",
        file="edge/muster.py",
        changes=(("return event.source if event.late and", "return event.source if False and"),),
        test="tests/unit/edge/test_muster.py::test_what_is_told_late_counts_by_its_own_time",
    ),
    Mutant(
        name="duress pushed to everybody",
        file="office/notify/stages.py",
        changes=(("own = self.security if case.secret else self.routes", "own = self.routes"),),
        test="tests/unit/office/test_told_together.py::test_what_only_security_may_know_goes_nowhere_else",
    ),
    Mutant(
        name="catalogues of a site without bound",
        file="cloud_sync/store/catalogues.py",
        changes=(("(today[0] >= A_DAY and not wanted)", "(today[0] < 0 and not wanted)"),),
        test="tests/unit/cloud_sync/test_catalogues.py::test_one_beyond_a_day_is_kept_apart_and_told_and_other_sites_go_on",
    ),
    Mutant(
        name="loop waits for a mute database as often as it is asked",
        file="cloud_sync/store/asking.py",
        changes=(("        if self._away:\n", "        if False:\n"),),
        test="tests/unit/cloud_sync/test_asking.py"
        "::test_a_mute_database_is_waited_for_once_and_refused_at_once_from_then_on",
    ),
    Mutant(
        name="alarms of a revoked site left standing",
        file="cloud_sync/store/leaving.py",
        changes=(("    for record in standing:\n", "    for record in standing[:0]:\n"),),
        test="tests/unit/office/test_leaving.py::test_every_alarm_of_a_revoked_site_ends_in_the_name_of_who_did_it",
    ),
    Mutant(
        name="a zone that the panel does not have is a quiet one",
        file="config/profiles/notifier-modbus-gw.yaml",
        changes=(("    derive: event_type == 255 or active == inactive or ", "    derive: active == inactive or "),),
        test=f"{_MAKERS}[notifier-modbus-gw]",
    ),
    Mutant(
        name="a gas detector that warms up says that there is no gas",
        file="config/profiles/honeywell-midas.yaml",
        changes=(("  gas.al2: {derive: al2 or 1 / (0 if blind else 1) < 0}", "  gas.al2: {derive: al2 or al2}"),),
        test=f"{_MAKERS}[honeywell-midas]",
    ),
    Mutant(
        name="a bit of a gas detector that nothing explains is nothing",
        file="config/profiles/pemtech-pt495.yaml",
        changes=(("not judged or no_reading or unexplained", "not judged or no_reading"),),
        test=f"{_MAKERS}[pemtech-pt495]",
    ),
    Mutant(
        name="no gas behind a broken line",
        file="config/profiles/sp-io-16-gas.yaml",
        changes=(("1 / (0 if blind or line.al2 else 1) < 0", "1 / (0 if blind else 1) < 0"),),
        test=_TABLES,
    ),
    Mutant(
        name="zones are counted over a broken line",
        file="config/profiles/sp-io-16-fire.yaml",
        changes=(("0 if zones_unsure and zones_closed < 2 else 1", "0 if zones_unsure and zones_closed < 1 else 1"),),
        test=_TABLES,
    ),
    Mutant(
        name="a dump that names the very device",
        file="edge/dump/__init__.py",
        changes=(("value if not masked or key in OPEN else HIDDEN", "value"),),
        test="tests/integration/test_device_dump.py::test_who_and_which_one_it_is_stays_where_it_is",
    ),
    Mutant(
        name="a masked text that is still there",
        file="edge/dump/words.py",
        changes=(("_X if place in texts else word & allowed", "word"),),
        test="tests/integration/test_device_dump.py::test_the_words_of_a_telling_point_are_masked",
    ),
    Mutant(
        name="a guess beside what was expected",
        file="edge/probe/guess.py",
        changes=(
            ("abs(value - self.value) <= self.tolerance", "abs(value - self.value) <= self.tolerance + 0.5"),
            ("wanted.tolerance * 1.001", "0.5 + wanted.tolerance"),
        ),
        test="tests/unit/edge/test_probe_guess.py::test_nothing_outside_the_tolerance_is_found",
    ),
    Mutant(
        name="an error without its last good time",
        file="sitekeeper/model/errors.py",
        changes=(("if self.last_good is not None:", "if self.last_good == 0:"),),
        test="tests/integration/test_driver_errors.py::test_a_time_that_is_not_known_is_not_told",
    ),
)  # fmt: skip


def copy_into(folder: Path) -> Path:
    """Copy everything that a test needs, so that nothing is ever broken in place."""
    folder.mkdir(exist_ok=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "mutants"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return what makes Python import from the copy, and never believe byte code of before a change."""
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def broken(folder: Path, mutant: Mutant) -> Iterator[None]:
    """Make the mistake in the copy, for a while.

    Raises:
        ValueError: what is to be changed does not stand there exactly once.
    """
    file = folder / mutant.file
    sound = file.read_text(encoding="utf-8")
    file.write_text(replaced(sound, dict(mutant.changes)), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(sound, encoding="utf-8")
