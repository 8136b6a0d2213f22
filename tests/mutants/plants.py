"""The bugs to plant: a place in the package, what stands there, what is put in its stead, and who must notice.

`old` must be in its file exactly once, so that a plant that the code has outgrown is a red test and not a bug that
nobody plants any more.
"""

from __future__ import annotations

from typing import NamedTuple

RULES = "tests/unit/core/test_exchange.py::test_"
ALWAYS = "tests/property/test_invariants.py::test_"
RELAY = "tests/unit/gateway/test_relay.py::test_"
MACHINE = (
    "tests/property/core/test_exchange_machine.py::"
    "test_the_exchange_does_what_the_model_says_and_the_campaign_uses_every_row_of_both_tables"
)
MESSAGES = "oxllm/core/protocols/messages.py"
RESPONSES = "oxllm/core/protocols/responses.py"
KEPT = "tests/{}/gateway/test_kept_answers.py::test_"
MESSAGING = "tests/unit/core/protocols/test_messages.py::test_"
MESSAGE_STREAM = "tests/property/core/test_messages.py::test_a_message_is_read_as_a_naive_reader_reads_it"
MESSAGE_BREAKS = (
    "tests/unit/core/test_exchange_messages.py::"
    "test_a_break_at_any_byte_is_a_whole_message_of_one_provider_or_an_error_event"
)
AFFINITY = "tests/property/core/test_affinity.py::test_"
CORPUS = "tests/unit/core/test_corpus.py::test_an_answer_is_read_as_it_should_be"
READING = "tests/property/core/test_reading.py::test_"
RESPONDING = "tests/unit/core/protocols/test_responses.py::test_"
RESPONSE_STREAM = "tests/property/core/test_responses.py::test_a_stream_is_read_as_a_naive_reader_reads_it"


class Plant(NamedTuple):
    """One bug. `killers`: pytest node ids without parameters; every one of them must fail."""

    name: str
    file: str
    old: str
    new: str
    killers: tuple[str, ...]


CONNECTION = "tests/unit/gateway/client/test_connection.py::test_"
SERVICE = "tests/unit/gateway/test_service.py::test_"
ALIKE = "tests/property/core/test_alike.py::test_"
UPSTREAM = "tests/property/gateway/test_upstream.py::test_"
READER = "tests/unit/gateway/client/test_request_reader.py::test_"
CLIENT, TURNS = "oxllm/gateway/client/connection.py", "oxllm/gateway/client/turns.py"
EXCHANGE, BREAKER = "oxllm/core/request/exchange.py", "oxllm/core/routing/breaker.py"
MARKS, BALANCER, ROUTE = "oxllm/core/routing/marks.py", "oxllm/core/routing/balancer.py", "oxllm/core/routing/route.py"
CHAT, PROTOCOL, RELAYING = "oxllm/core/protocols/chat.py", "oxllm/core/protocols/base.py", "oxllm/gateway/relay.py"

PLANTS = (
    Plant(
        "fewer choices than asked for are a plain answer",
        CHAT,
        "        if few < self._choices:",
        "        if few < 1:",
        (RULES + "a_plain_answer_with_fewer_choices_than_asked_for_is_not_whole_and_no_failure",),
    ),
    Plant(
        "a server error counts as a whole failure where nobody else was asked",
        "oxllm/core/request/books.py",
        "        if len(self._alike) == self._asked == 1 and not self._halved:",
        "        if False:",
        (RULES + "a_server_error_from_the_only_target_that_may_be_asked_is_half_a_failure_too",),
    ),
    Plant(
        "a lone provider's server error opens its breaker and closes it again",
        "oxllm/core/request/books.py",
        "        self._halved = bool(alike) or self._alone(now)",
        "        self._halved = bool(alike)",
        ("tests/unit/gateway/observe/test_metrics.py::test_a_breaker_that_opens_shows_its_move_and_the_time_left",),
    ),
    Plant(
        "a quota of so many a minute is a quota",
        "oxllm/core/reading/table.py",
        "        if self.paced or self._of_minutes():",
        "        if self._of_minutes():",
        (READING + "a_quota_of_so_many_a_minute_is_a_pace_unless_the_request_says_so",),
    ),
    Plant(
        "a probe is not given back",
        BREAKER,
        "            self._step(BreakerEvent.GIVE_BACK)",
        "            pass",
        (
            RULES + "a_client_or_a_gateway_that_leaves_gives_the_probe_back",
            "tests/unit/core/test_results.py::test_a_probe_that_says_nothing_of_the_host_is_given_back",
        ),
    ),
    Plant(
        "a hint is shortened",
        MARKS,
        "new = cooldown.rate_limited(outcome.retry_after, ",
        "new = cooldown.rate_limited(outcome.retry_after and outcome.retry_after / 2, ",
        (
            RULES + "every_target_rate_limited_is_429_with_the_soonest_recovery",
            ALWAYS + "10_nothing_goes_to_a_target_before_its_hint_has_passed",
        ),
    ),
    Plant(
        "a role event commits",
        CHAT,
        "        self.content += bears",
        "        self.content += 1",
        (
            RULES + "nothing_goes_out_before_content_does",
            RULES + "what_bears_no_content_does_not_commit_and_its_end_is_a_failure",
            MACHINE,
        ),
    ),
    Plant(
        "failing over after commit",
        EXCHANGE,
        "        if attempt.phase is ATTEMPT_COMMITTED:\n            self._break(",
        "        if False:\n            self._break(",
        (
            RULES + "a_break_after_commit_is_an_error_event_and_no_other_provider_is_asked",
            ALWAYS + "04_a_stream_succeeds_exactly_if_every_choice_has_its_finish_reason",
            MACHINE,
        ),
    ),
    Plant(
        "the breaker counts a client's faults",
        "oxllm/core/reading/rules.py",
        "Kind.CLIENT_ERROR: Rule(False, False,",
        "Kind.CLIENT_ERROR: Rule(False, True,",
        (
            RULES + "a_clients_own_fault_is_passed_on_as_it_is_at_once",
            ALWAYS + "09_a_clients_fault_costs_one_attempt_and_no_penalty",
        ),
    ),
    Plant(
        "[DONE] after a cut",
        CHAT,
        '        return end + b"data: " + error.body() + b"\\n\\n"\n',
        '        return end + b"data: " + error.body() + b"\\n\\n" + DONE_EVENT\n',
        (
            RULES + "a_break_after_commit_is_an_error_event_and_no_other_provider_is_asked",
            ALWAYS + "04_a_stream_succeeds_exactly_if_every_choice_has_its_finish_reason",
        ),
    ),
    Plant(
        "the deadline is each attempt's own",
        EXCHANGE,
        "        self._race.begin(self.books.begin(self.route, candidate, now), now, self.books.by_session)\n",
        "        self._race.begin(self.books.begin(self.route, candidate, now), now, self.books.by_session)\n"
        "        self._deadline = now + min(self.route.request, self.facts.timeout or inf)\n",
        (
            RULES + "the_request_deadline_holds_over_all_attempts",
            ALWAYS + "11_the_deadline_holds_though_nobody_answers_and_another_runs_beside",
        ),
    ),
    Plant(
        "tiers in reverse",
        ROUTE,
        'sorted(candidates, key=attrgetter("tier"))',
        'sorted(candidates, key=attrgetter("tier"), reverse=True)',
        (
            RULES + "each_candidate_is_tried_once_in_tier_order",
            ALWAYS + "06_attempts_follow_the_policys_order",
        ),
    ),
    Plant(
        "the budget is ignored",
        "oxllm/core/budget/retry.py",
        "        if self._extras_in_window + 1 > max(",
        "        if self._extras_in_window + 1 > 1000 + max(",
        (
            "tests/unit/core/test_budget.py",
            ALWAYS + "08_extra_attempts_stay_within_the_retry_budget_in_every_window",
        ),
    ),
    Plant(
        "results of an older generation count",
        BREAKER,
        "        if generation != self.generation or self._state",
        "        if self._state",
        (
            ALWAYS + "18_a_result_of_an_older_generation_moves_nothing",
            ALWAYS + "18_a_slow_failure_from_before_the_outage_does_not_open_what_has_closed",
        ),
    ),
    Plant(
        "the usage that only we asked for leaks",
        CHAT,
        "        elif self._strip_usage and event.usage not in EMPTY:",
        "        elif not self._strip_usage and event.usage not in EMPTY:",
        (RULES + "usage_that_only_we_asked_for_is_read_and_stripped",),
    ),
    Plant(
        "a ping opens an event",
        PROTOCOL,
        'b": ping\\n"',
        'b"data: {}\\n"',
        (
            RELAY + "the_requests_body_is_let_go_at_commit_also_when_the_head_went_out_before",
            ALWAYS + "05_all_output_parses_and_says_the_same_however_input_is_cut",
        ),
    ),
    Plant(
        "weights are ignored",
        BALANCER,
        "                candidate.credit += candidate.weight\n",
        "                candidate.credit += 1\n",
        (ALWAYS + "06_weights_share_a_tier_to_the_request",),
    ),
    Plant(
        "a target's cooldown holds for its provider",
        MARKS,
        "    cooldown = target.provider.cooldown if shared else target.cooldown\n",
        "    cooldown = target.provider.cooldown\n",
        (RULES + "two_targets_of_one_provider_are_both_reached",),
    ),
    Plant(
        "the loser of a hedge is not cancelled",
        "oxllm/core/request/race.py",
        "            if attempt is not winner:\n                self.cancel(attempt, result, now)\n",
        "            if attempt is not winner:\n                self.end(attempt, result, now)\n",
        (
            RULES + "the_first_to_have_content_wins_and_the_other_is_cancelled",
            RELAY + "the_loser_of_a_hedge_is_let_go_at_once",
        ),
    ),
    Plant(
        "the breaker opens one failure late",
        BREAKER,
        "        if self.halves < 2 * self.settings.failures:",
        "        if self.halves <= 2 * self.settings.failures:",
        (ALWAYS + "15_a_breaker_opens_exactly_at_its_threshold",),
    ),
    Plant(
        "a half-open breaker lets everybody through",
        BALANCER,
        "        if probe:\n            breaker.begin_probe(now)\n",
        "",
        (RULES + "a_probe_that_wins_closes_its_breaker_at_its_commit",),
    ),
    Plant(
        "a lone provider that fails now and then is left alone as one that is down",
        BALANCER,
        "one.state.last_resort(now)",
        "False",
        ("tests/property/test_goodput.py::test_a_lone_provider_that_fails_now_and_then_answers_hardly_less",),
    ),
    Plant(
        "the cool-off has no cap",
        BREAKER,
        "min(seconds, self.settings.cooldown_max)",
        "seconds * 2",
        (ALWAYS + "16_after_healing_one_probe_closes_and_traffic_is_back_on_the_preferred_tier",),
    ),
    Plant(
        "a hang-up does not reach the provider",
        "oxllm/gateway/link.py",
        "            call.cancel()\n",
        "            pass\n",
        (
            RELAY + "a_hang_up_closes_the_providers_connection_within_100_ms",
            ALWAYS + "12_a_hang_up_cancels_upstream_at_once_and_moves_no_breaker",
        ),
    ),
    Plant(
        "a stream with a choice missing is complete",
        CHAT,
        "self._seen == self._done and self._done.bit_count() >= self._choices",
        "self._seen == self._done",
        (RULES + "fewer_choices_than_asked_for_are_not_complete_and_no_failure",),
    ),
    Plant(
        "any finish_reason completes",
        CHAT,
        "self._seen == self._done and self._done.bit_count() >= self._choices",
        "self._done > 0",
        (RULES + "every_choice_needs_its_finish_reason",),
    ),
    Plant(
        "Retry-After names the last recovery",
        ROUTE,
        "        return min(within, default=None), states",
        "        return max(within, default=None), states",
        (
            RULES + "every_target_rate_limited_is_429_with_the_soonest_recovery",
            ALWAYS + "17_when_all_are_down_there_is_an_answer_at_once_with_the_soonest_recovery",
        ),
    ),
    Plant(
        "an error names the key",
        "oxllm/core/request/refusal.py",
        '    reasons = [f"{candidate.state.name}: {describe(outcome)}"',
        '    reasons = [f"{candidate.plan.api_key}: {describe(outcome)}"',
        (
            RULES + "the_message_names_statuses_and_codes_but_no_text_and_no_key",
            ALWAYS + "21_no_key_is_in_any_output",
        ),
    ),
    Plant(
        "second tries are not counted",
        "oxllm/core/routing/ticket.py",
        "        counters.attempts += 1\n        counters.retries += 1\n",
        "        counters.retries += 1\n",
        (ALWAYS + "19_the_counters_are_what_the_providers_ledgers_say",),
    ),
    Plant(
        "a second try has no jitter",
        "oxllm/core/request/second_try.py",
        "        self.at = now + self._rng.uniform(*JITTER_S)",
        "        self.at = now",
        (
            RULES + "a_500_or_502_is_tried_again_at_the_same_target_after_a_jitter",
            ALWAYS + "07_attempts_stay_under_the_maximum_and_repeat_only_what_same_target_allows",
            MACHINE,
        ),
    ),
    Plant(
        "max_attempts is one too many",
        EXCHANGE,
        "        return self.books.sent >= self._max_attempts or now",
        "        return self.books.sent > self._max_attempts or now",
        (
            RULES + "max_attempts_is_the_end_whatever_is_left",
            ALWAYS + "07_attempts_stay_under_the_maximum_and_repeat_only_what_same_target_allows",
            MACHINE,
        ),
    ),
    Plant(
        "held-back events are sent twice",
        EXCHANGE,
        "        self.reply.begin(attempt)\n        self.reply.write(attempt.commit(now))\n",
        "        self.reply.begin(attempt)\n        self.reply.write(attempt.commit(now) * 2)\n",
        (
            RULES + "a_stream_is_passed_on_and_ends_as_its_provider_ended_it",
            ALWAYS + "02_a_success_is_one_providers_text_with_no_splice_gap_or_duplicate",
            MACHINE,
        ),
    ),
    Plant(
        "a stall inside the hold-back goes unnoticed",
        EXCHANGE,
        "    def _tick_uncommitted(self, now: float) -> None:\n",
        "    def _tick_uncommitted(self, now: float) -> None:\n"
        "        for held in self._race.running:\n"
        "            if held.phase is HOLDING:\n"
        "                held.clock = now + 60\n",
        (RULES + "a_provider_that_stalls_inside_the_hold_back_is_given_up_after_its_idle_time", MACHINE),
    ),
    Plant(
        "the first failure is the client's",
        EXCHANGE,
        "        return self.books.sent >= self._max_attempts or now",
        "        return self.books.sent >= self._max_attempts or bool(self._last.tried) or now",
        (
            RULES + "each_candidate_is_tried_once_in_tier_order",
            ALWAYS
            + "03_before_commit_a_failure_is_invisible_while_a_candidate_remains_and_after_it_nobody_else_is_asked",
        ),
    ),
    Plant(
        "an illegal transition",
        BREAKER,
        "    (BreakerState.PROBING, BreakerEvent.FAILURE): BreakerState.OPEN,\n",
        "    (BreakerState.PROBING, BreakerEvent.FAILURE): BreakerState.HALF_OPEN,\n",
        (ALWAYS + "14_a_dead_provider_is_asked_once_a_cool_off",),
    ),
    Plant(
        "a dead idle connection costs an attempt",
        "oxllm/gateway/upstream/pooled_call.py",
        "        if not self.reused or not before_response or self._connections.clock() > self._dead_until:\n",
        "        if True:\n",
        (RELAY + "a_connection_that_was_idle_and_is_dead_is_replaced_for_free",),
    ),
    Plant(
        "a request goes out on a new connection whatever its provider's breaker says by then",
        EXCHANGE,
        "        why = attempt.ticket.unusable(now)\n        if why is None or why is not Skip.OPEN:\n"
        "            return why is None\n",
        "        return True\n",
        tuple(
            f"tests/unit/core/test_exchange.py::{name}"
            for name in (
                "test_a_request_does_not_go_out_on_a_connection_that_came_after_its_breaker_opened",
                "test_a_request_does_not_go_out_while_its_provider_has_asked_for_a_wait_whoever_else_there_is",
            )
        ),
    ),
    Plant(
        "the body is kept after commit",
        EXCHANGE,
        "        if self.body is None or not (self.stage is COMMITTED or ",
        "        if self.body is None or not (",
        (RELAY + "the_requests_body_is_let_go_at_commit_also_when_the_head_went_out_before",),
    ),
    Plant(
        "an empty delta of a response commits",
        RESPONSES,
        "            self.content += event.delta not in EMPTY\n",
        "            self.content += 1\n",
        (RESPONDING + "an_event_bears_no_content_but_is_passed_on", RESPONSE_STREAM),
    ),
    Plant(
        "a response that broke has its error where only agents look",
        RESPONSES,
        ', "response": response, "error": beside}',
        ', "response": response}',
        (RESPONDING + "an_interruption_is_a_failed_response_with_the_id_and_the_next_number",),
    ),
    Plant(
        "a large event that was cut looks whole",
        RESPONSES,
        'spoilt = b"!" + END if',
        "spoilt = END if",
        (RESPONDING + "a_break_inside_a_large_event_spoils_it_so_that_no_client_takes_it_for_whole",),
    ),
    Plant(
        "an end mark makes a response whole",
        RESPONSES,
        '            return self._break("its end mark came too early")\n',
        '            self.complete = self.content > 0\n            return b""\n',
        (RESPONDING + "a_stream_breaks",),
    ),
    Plant(
        "a failure that was passed on is told once more",
        RESPONSES,
        "        self.told = self.content > 0\n",
        "        self.told = False\n",
        (
            RESPONDING + "a_failure_behind_content_is_passed_on_and_is_the_end",
            RULES.replace("exchange", "exchange_responses")
            + "a_failure_behind_content_is_the_provider_s_own_and_no_second_one",
            RESPONSE_STREAM,
        ),
    ),
    Plant(
        "a promise of a response is one",
        RESPONSES,
        "(self._background and status in PENDING_STATUSES)",
        "status in PENDING_STATUSES",
        (RESPONDING + "a_promise_is_an_answer_only_to_who_asked_for_one",),
    ),
    Plant(
        "a response is continued by anybody",
        "oxllm/gateway/dispatch.py",
        "            speaking = speaking.at(owner)\n",
        "            pass\n",
        (
            KEPT.format("unit") + "an_answer_is_continued_by_who_made_it",
            KEPT.format("property") + "an_id_reaches_only_who_made_it",
        ),
    ),
    Plant(
        "who does not have a response is taken for its owner",
        RELAYING,
        "winner.status // 100 == exchange.reply.status // 100 == 2:\n",
        "winner.status:\n",
        (
            KEPT.format("unit") + "an_answer_that_nobody_has_is_not_found_as_the_last_one_says_it",
            KEPT.format("property") + "an_id_that_nobody_remembers_moves_no_breaker_and_no_mark",
        ),
    ),
    Plant(
        "the body of a GET goes along to the provider",
        "oxllm/gateway/dispatch.py",
        'request.body if about.method == "POST" else b""',
        "request.body",
        (KEPT.format("unit") + "a_body_goes_along_only_where_the_method_has_one",),
    ),
    Plant(
        "an answer in RTSP is taken for HTTP",
        "oxllm/gateway/upstream/llhttp.py",
        'self._parser.get_http_version() if http else ""',
        "self._parser.get_http_version()",
        ("tests/unit/gateway/test_odd_answers.py::test_what_is_not_sound_is_an_error_however_it_is_cut",),
    ),
    Plant(
        "who does not have a response has lost its model",
        RESPONSES,
        "        if status in (404, 405) and",
        "        if status == 405 and",
        (
            KEPT.format("unit") + "an_answer_that_nobody_has_is_not_found_as_the_last_one_says_it",
            KEPT.format("property") + "an_id_that_nobody_remembers_moves_no_breaker_and_no_mark",
        ),
    ),
    Plant(
        "a message is whole while one of its blocks is open",
        MESSAGES,
        "self._reason and self._begun == self._done",
        "self._reason",
        (MESSAGING + "a_stop_reason_may_come_before_the_last_block_stops", MESSAGE_STREAM),
    ),
    Plant(
        "a block that shows nothing commits",
        MESSAGES,
        "raw not in EMPTY for name, raw in block.items() if name not in _NAMELESS",
        "name not in _NAMELESS for name, raw in block.items()",
        (
            MESSAGING + "an_event_that_bears_nothing_is_passed_on",
            MESSAGING + "thinking_that_is_not_shown_is_work",
            MESSAGE_STREAM,
        ),
    ),
    Plant(
        "an end mark makes a message whole",
        MESSAGES,
        "        if not self.complete and self.reasons not in _CUT_OFF:\n",
        "        if not self.content:\n",
        (MESSAGING + "a_stream_is_broken", MESSAGE_STREAM),
    ),
    Plant(
        "a start that is told again is passed on",
        MESSAGES,
        "        self.dropped += 1\n        return False\n\n    def _begin(",
        "        return True\n\n    def _begin(",
        (MESSAGING + "a_start_that_is_told_again_is_left_out", MESSAGE_STREAM),
    ),
    Plant(
        "events without names stay so",
        MESSAGES,
        "    line = _LINES.get(kind)\n",
        '    line = b"event: " + name + b"\\ndata: "\n',
        (MESSAGING + "a_stream_without_event_lines_gets_them", MESSAGE_STREAM),
    ),
    Plant(
        "a stop that was passed on is added once more",
        MESSAGES,
        'return b"" if self._stopped else MESSAGE_STOP',
        "return MESSAGE_STOP",
        (MESSAGING + "a_message_is_whole_and_passed_on_byte_for_byte", MESSAGE_BREAKS),
    ),
    Plant(
        "half a large event is parsed before the error",
        MESSAGES,
        '(b"\\nevent: ping\\n\\n" if self._large else b"")',
        '(b"\\n\\n" if self._large else b"")',
        (MESSAGING + "half_a_large_event_becomes_a_ping_before_the_error",),
    ),
    Plant(
        "a large block is always the next one",
        MESSAGES,
        "else self._begin(event)):\n            return False\n        self.content = content + 1",
        "else self._open(self._begun.bit_length())):\n            return False\n        self.content = content + 1",
        (MESSAGING + "a_large_block_has_the_index_that_it_says",),
    ),
    Plant(
        "a large event is at its end what it has begun as",
        MESSAGES,
        "        if event.type not in",
        "        if False and event.type not in",
        (MESSAGING + "a_large_event_that_means_something_else_at_its_end_is_a_break",),
    ),
    Plant(
        "a refusal that is passed on as it comes is not searched for our key",
        "oxllm/core/request/error_reader.py",
        "        if reveals(kept, self._key):",
        "        if False:",
        (RULES + "a_long_refusal_that_quotes_our_key_late_is_broken_off_before_it",),
    ),
    Plant(
        "a failure behind content that says our key is passed on",
        "oxllm/core/request/attempt.py",
        "    if not reveals(told, key):",
        "    if True:",
        ("tests/unit/core/test_exchange_messages.py::test_one_that_quotes_our_key_is_told_in_our_words",),
    ),
    Plant(
        "a large last event is whole though it is no JSON",
        "oxllm/core/protocols/named_reader.py",
        "        if not self._large.whole:\n",
        "        if not self._large:\n",
        (RESPONDING + "a_large_event_that_ends_in_a_bracket_and_is_not_json_is_a_break_and_stays_open",),
    ),
    Plant(
        "something may stand behind an object that is passed on in pieces",
        "oxllm/core/wire/nesting.py",
        "        if behind.strip():\n",
        "        if behind.strip(b' }'):\n",
        ("tests/property/core/test_nesting.py::test_nothing_may_stand_behind_it",),
    ),
    Plant(
        "cached tokens are no input",
        MESSAGES,
        "Usage(self._input + self._created + self._read, ",
        "Usage(self._input + self._created, ",
        (MESSAGING + "usage_is_the_sum_of_all_input_and_the_last_output",),
    ),
    Plant(
        "who cannot count tokens has lost its model",
        MESSAGES,
        "        if asked is COUNTING and status in (404, 405):\n",
        "        if asked is COUNTING and status == 405:\n",
        ("tests/unit/gateway/test_messages.py::test_a_provider_that_cannot_count_is_not_blamed",),
    ),
    Plant(
        "a session goes where the weight is",
        "oxllm/core/routing/affinity.py",
        "    return -weight / log(",
        "    return weight * -1 / log(weight + 1) + 0 * log(",
        (AFFINITY + "sessions_are_spread_by_weight_within_two_percent",),
    ),
    Plant(
        "what an error quotes is taken for its own words",
        "oxllm/core/reading/sentences.py",
        "    return _QUOTED.sub(_quoted, text)",
        "    return text",
        (CORPUS, READING + "a_quoted_phrase_is_the_requests"),
    ),
    Plant(
        "a list of faults is believed",
        "oxllm/core/reading/table.py",
        "        if self.error.quoting or not self._believed:",
        "        if not self._believed:",
        (READING + "a_list_of_faults_marks_nothing",),
    ),
    Plant(
        "what the request says itself is believed when it comes back",
        "oxllm/core/request/belief.py",
        "        result = result.otherwise\n",
        "        pass\n",
        (RULES + "what_a_request_says_itself_is_not_believed_when_it_comes_back",),
    ),
    Plant(
        "a quota of one model takes the provider",
        MARKS,
        "(effect is Effect.QUOTA and not outcome.of_target)\n",
        "effect is Effect.QUOTA\n",
        ("tests/unit/core/test_marks.py::test_a_quota_of_one_model_is_held_against_that_alone",),
    ),
    Plant(
        "codes go behind sentences",
        "oxllm/core/reading/table.py",
        "        self.by_code = bool(self.topics)\n",
        "        self.by_code, self.topics = False, 0\n",
        (CORPUS,),
    ),
    Plant(
        "an error in a 200 has no status",
        "oxllm/core/reading/table.py",
        "    if error.status is not None:\n        return error.status\n",
        "",
        (CORPUS,),
    ),
    # Bugs that only an unusual client reveals.
    Plant(
        "whole heads may take all memory",
        "oxllm/core/budget/bodies.py",
        "        if self.total + self.heads + size > self.limit:\n",
        "        if False:\n",
        (CONNECTION + "whole_heads_count_as_long_as_anything_of_them_is_kept",),
    ),
    Plant(
        "a client that leaves in the middle of its request stays in flight",
        "oxllm/gateway/service.py",
        "            self._in_flight -= 1\n",
        "            self._in_flight -= request.head_sent\n",
        (SERVICE + "a_client_that_leaves_in_the_middle_of_its_request_is_no_longer_in_flight",),
    ),
    Plant(
        "silent sockets keep their places",
        "oxllm/gateway/client/shared.py",
        "            if connection.evict(needed):\n",
        "            if False:\n",
        (CONNECTION + "the_longest_idle_or_silent_connection_is_closed_for_a_newcomer",),
    ),
    Plant(
        "a client with output that waits is taken for a silent one",
        CLIENT,
        "        if self.output.measure() or self.backlog.data is not None:\n            return False\n",
        "",
        (CONNECTION + "a_silent_client_with_output_that_waits_keeps_its_place",),
    ),
    Plant(
        "a client that takes nothing is waited for",
        "oxllm/gateway/client/pace.py",
        "        return now >= self._since + STALL_S\n",
        "        return False\n",
        (CONNECTION + "a_client_that_takes_nothing_for_60_seconds_is_gone",),
    ),
    Plant(
        "a trickled body keeps others out",
        "oxllm/gateway/client/pace.py",
        "            if others_wait and received - self._mark < SLOW_BYTES:\n",
        "            if False:\n",
        (CONNECTION + "a_slow_body_has_to_go_while_others_wait",),
    ),
    Plant(
        "a client that pipelines without end is read without end",
        "oxllm/gateway/client/backlog.py",
        "        if len(self.data) >= BACKLOG_MAX or self._shared.backlog >= BACKLOG_TOTAL:\n",
        "        if False:\n",
        (CONNECTION + "what_is_kept_behind_a_request_is_bounded",),
    ),
    Plant(
        "100 Continue is said to who did not wait for it",
        TURNS,
        "                reader.expectation = None  # it has not waited for our word\n",
        "                pass\n",
        (CONNECTION + "100_continue_is_not_said_to_who_did_not_wait",),
    ),
    Plant(
        "a client that is told to stop sending is cut off",
        "oxllm/gateway/client/output.py",
        "            self._transport.write_eof()\n",
        "            self._gone()\n",
        (CONNECTION + "a_long_rest_is_read_and_dropped_for_two_seconds",),
    ),
    Plant(
        "a client that leaves while its answer waits is noticed late",
        CLIENT,
        "        if self.turns.request is not None:\n            self.abort()\n",
        "        if False:\n            self.abort()\n",
        (CONNECTION + "output_that_waits_does_not_delay_the_news_that_the_client_left",),
    ),
    Plant(
        "a head that dribbles has all the time of the world",
        TURNS,
        "        if limit is not None:\n            self.timer.set(self._shared.now() + limit)\n",
        "        if limit is not None and state is not HEAD:\n            self.timer.set(self._shared.now() + limit)\n",
        (CONNECTION + "the_head_of_a_next_request_has_20_seconds_too_not_75",),
    ),
    Plant(
        "a bug of ours leaves its request hanging",
        RELAYING,
        "        for step in (self._apologize, self._break_off, self._abandon, self._forget):\n",
        "        for step in ():\n",
        ("tests/unit/gateway/test_internal_errors.py::test_the_500_has_the_shape_of_its_protocol_and_is_counted",),
    ),
    Plant(
        "an event whose text stands in it twice is taken for a pattern",
        "oxllm/core/protocols/alike.py",
        " or event.count(text) != 1:",
        ":",
        (ALIKE + "an_event_whose_text_stands_in_it_twice_is_not_remembered",),
    ),
    Plant(
        "padding that is more than a text is taken for none",
        "oxllm/core/protocols/alike.py",
        "            if not _plain(padding):\n                return False\n",
        "",
        (ALIKE + "events_that_differ_in_their_text_and_padding_alone_are_like_one_another",),
    ),
    Plant(
        "a known head stands for one with another length of its body",
        "oxllm/gateway/client/known_heads.py",
        "return at if at + length == end and buffer",
        "return at if buffer",
        ("tests/unit/gateway/client/test_known_heads.py::test_what_is_not_quite_a_known_head_and_its_body_is_read",),
    ),
    Plant(
        "a head with a bare line feed is a usual one",
        "oxllm/gateway/upstream/fast_path.py",
        "    if line.translate(TEXT) != line:\n        return None\n",
        "",
        (UPSTREAM + "a_head_that_is_read_without_llhttp_means_what_llhttp_reads_in_it",),
    ),
    Plant(
        "all who waited for memory go on at once",
        "oxllm/core/budget/answers.py",
        "elif self.total + self._read * self._line.resumed > self.mark:",
        "elif self.total > self.mark:",
        (
            "tests/unit/core/test_budget.py::test_of_those_who_wait_only_as_many_go_on_as_may_read_and_the_next_when_these_have",
        ),
    ),
    Plant(
        "who was stopped last waits behind all others, whatever it holds",
        "oxllm/core/budget/readers.py",
        "        self._states[reader] = state\n        self._count(state, 1)\n",
        "        self._states.pop(reader, None)\n        self._states[reader] = state\n        self._count(state, 1)\n",
        ("tests/unit/core/test_budget.py::test_who_has_held_for_longest_goes_first_though_it_was_stopped_last",),
    ),
    Plant(
        "who cannot read what another has sealed has the last word while that one is away",
        "oxllm/core/request/last_answer.py",
        "        if sealed_elsewhere(self.tried, route.recovery(now)):\n            return None\n",
        "",
        (KEPT.format("unit") + "who_may_have_sealed_it_and_can_be_asked_again_soon_is_waited_for",),
    ),
    Plant(
        "all shake hands at once",
        "oxllm/gateway/upstream/handshakes.py",
        "        if len(self._under_way) < HANDSHAKES_MAX:\n            self._under_way.add(one)",
        "        if one is not None:\n            self._under_way.add(one)",
        (
            "tests/unit/gateway/upstream/test_tls.py::test_who_waits_for_its_turn_gets_it_whatever_becomes_of_those_before",
        ),
    ),
    Plant(
        "a Host that can be none is served",
        "oxllm/gateway/client/request_reader.py",
        "                    if _HOST.fullmatch(value) is None:",
        "                    if False:",
        ("tests/unit/gateway/test_access.py::test_a_host_that_can_be_none_is_a_bad_request",),
    ),
    Plant(
        "half an empty line in front of a request is nothing",
        "oxllm/gateway/client/request_reader.py",
        "            elif byte == LF or self._after_cr:\n                raise",
        "            elif False:\n                raise",
        (READER + "what_is_not_valid_is_a_400_however_it_is_cut",),
    ),
    Plant(
        "an HTTP/1.0 client that would close and keep is kept",
        "oxllm/gateway/client/request_reader.py",
        'b"close" not in options and (not self.http10',
        '(b"close" not in options or self.http10) and (not self.http10',
        (READER + "the_client_says_whether_the_connection_stays",),
    ),
    Plant(
        "the parser that read a head goes on with its chunks",
        "oxllm/gateway/upstream/response.py",
        "        llhttp.restart()\n",
        "        if status < 200:\n            llhttp.restart()\n",
        (
            "tests/unit/gateway/upstream/test_connection.py::test_chunks_are_read_as_such_whatever_white_space_is_around_the_coding",
        ),
    ),
    Plant(
        "a connection that closes is still read",
        "oxllm/gateway/reactor/stream.py",
        "            self._state = TABLE.move(OPEN, CLOSE)\n            self._reading = False\n",
        "            self._state = TABLE.move(OPEN, CLOSE)\n",
        ("tests/unit/gateway/reactor/test_stream.py::test_what_comes_while_it_closes_is_not_read",),
    ),
)
