"""The words of errors, and what each is about.

A word has one or more bits. Words that belong together are one entry ("api key", "not found"). All are compared by
their stems and without fillers (`FILLERS`), so "does not currently exist" is "not exist": an entry covers a family of
sentences, so that another provider's wording is read as well.
"""

from __future__ import annotations

MONEY = 1 << 0
QUOTA = 1 << 1
PACE = 1 << 2
"""A rate, so many per minute: limits and quotas in the same sentence are about it."""
CONTEXT = 1 << 3
TOKENS = 1 << 4
PROMPT = 1 << 5
KEY = 1 << 6
MODEL = 1 << 7
ONE_MODEL = 1 << 8
"""One particular model, not "models"."""
REGION = 1 << 9
ACCOUNT = 1 << 10
FEATURE = 1 << 11
POLICY = 1 << 12
GONE = 1 << 13
NEEDED = 1 << 14
OWING = 1 << 15
"""Money or quota that is used up, as one entry."""
EXCEEDS = 1 << 16
LONG = 1 << 17
MOST = 1 << 18
"""A bound, as such."""
BAD = 1 << 19
ABSENT = 1 << 20
WEAK = 1 << 21
"""Means absence only next to its noun: "invalid model", but not "invalid parameter for the model"."""
LACKING = 1 << 22
FOR_MODEL = 1 << 23
BARRED = 1 << 24
FLAGGED = 1 << 25
MODERATED = 1 << 26
"""Content that was refused, as one entry."""
LOADING = 1 << 27
BUSY = 1 << 28
BROKEN = 1 << 29
STORED = 1 << 30
"""Parts of a request that another provider has sealed or stored."""
LOST = 1 << 31
BOTCHED = 1 << 32
"""The model's own output was malformed, or the server does not know a format, as one entry."""
NEUTRAL = 1 << 33
"""Words that together mean nothing here."""
STRONG = 1 << 34
"""Unambiguous absence."""
CENSORED = 1 << 35
"""Said of a prompt or an answer that a filter stopped."""
ACTIVE = 1 << 36
"""Said of a model that is there, but cannot do something."""
SHUT = 1 << 37
"""Said of an account, if it is next to it."""
SCHEMA = 1 << 38
"""The sentence is about how the request is composed: nothing in it marks."""
VARIANT = 1 << 39
"""A parser that does not know the next word: "unknown variant image_url"."""
LAW = 1 << 40
"""What a text may violate, but not only a text: there are policies for rates and networks, too."""
OFFENDS = 1 << 41
"""How only a text violates it."""
SPENT = 1 << 42
"""Said only of a quota or money, whatever else has failed in the same sentence."""
ITEM = 1 << 43
"""Like STORED, except in a sentence about a schema."""
ADDRESS = 1 << 44
"""Where a request came from, and who is barred: content filters do not judge that."""
ROLE = 1 << 45
"""Roles of messages that not every model knows."""
TEMPLATE = 1 << 46
"""What a server builds a prompt with; requests do not have it."""
NO = 1 << 47
"""There is no such thing as the next word."""
OUTSIDE = 1 << 48
"""A server that the request names: its bills, rates and keys are the client's own."""
ONLY = 1 << 49
TAKEN = 1 << 50
"""What a server does with a format that it knows: "only text is supported"."""
LEFT = 1 << 51
"""Things that a client left at one provider, and another does not have."""
ENDED = 1 << 52
"""Said of an account or a service, and not of a text."""
NOT = 1 << 53
"""With a verb that is no entry: "does not take", "takes no"."""
NUMBER = 1 << 54
BUDGET = 1 << 55
"""Money that is spent or not, and nothing else that may be said of a noun: a tool may be called so."""

ENTRIES: tuple[tuple[int, str], ...] = (
    (
        MONEY,
        """
        credit, balance, billing, payment, invoice, prepaid, spend, spending, fund, wallet, paid plan, paid tier, paid
        account, free trial, trial credits, subscription, usage fee, pro plan, money, pay as you go, paid subscription,
        prepayment, paid model, paid users, premium, saldo, guthaben, solde, credito, bakiye, bakiyeniz
        """,
    ),
    (
        QUOTA,
        """
        quota, allowance, neurons, usage limit, service limit, usage cap, monthly limit, daily limit, weekly limit,
        resource package, token package, resource pack, free tier, daily request limit, plan limit, free usage, daily
        token limit, monthly token limit, monthly usage, daily usage, hour limit, session limit, call volume, included
        usage, compute units, request limit per day, requests per day, daily call limit, free requests, free quota,
        trial, monthly included, per month, inference limit, key limit, api key limit, total limit, spending cap, credit
        cap, usage quota, token allowance, extra usage, free allocation, daily allocation, token allocation, monthly
        allocation, monthly tokens, month tokens, daily tokens, weekly tokens, tokens month, tokens today, limit for
        today, request limit for today, monthly cap, daily cap, weekly cap, api total request limit, cuota, cota,
        kontingent
        """,
    ),
    (
        PACE,
        """
        per minute, per second, per hour, per min, per sec, rpm, tpm, qps, rps, tps, qpm, throttled, throttling,
        throttle, throttling exception, rate limit, rate limited, rate limiting, rate limiter, ratelimit, ratelimited,
        too many requests, request rate, rate exceeded, concurrency, concurrent, slow down, token rate, call rate,
        burst, parallel requests, simultaneous requests, too fast, too frequent, too frequently, too quickly, too many
        calls, too many connections, too many concurrent, rate error, high frequency, too many tokens please wait,
        hourly, requests minute, tokens minute, calls minute, requests min, tokens min, request frequency, call
        frequency, access frequency, frequency limit, minutes rate, request reached max request, in flight requests,
        requests too many try, server limit exceeded, gauge quota, online prediction request quota, rate growth, zu
        viele anfragen, trop de requetes, demasiadas solicitudes, demasiadas peticiones, muitas requisicoes, muitas
        solicitacoes, troppe richieste, ratenlimit
        """,
    ),
    (
        CONTEXT,
        """
        context size, context limit, context overflow, context tokens, model length, model len, prompt length, prompt
        size, input length, sequence length, token limit, token count, n ctx, input tokens, prompt tokens, maximum
        prompt, maximum input, max prompt, max input, seq len, maximum sequence, conversation length, message length,
        maximum tokens, total tokens, context, physical batch size, kv cache, number of tokens, text length, content
        length, maximum length of the model, position embeddings, allowed tokens, tokens per batch, model window, total
        length, window size, contexto, contesto, kontextlange, kontextfenster
        """,
    ),
    (
        TOKENS,
        """
        token
        """,
    ),
    (
        PROMPT,
        """
        prompt, input, message, conversation, text, query, history, document, passage, messages, content, output,
        response, generation, eingabe
        """,
    ),
    (
        KEY,
        """
        api key, apikey, api_key, access key, secret key, subscription key, access token, bearer token, auth token, api
        token, id token, security token, session token, jwt, api secret, app key, credential, authentication,
        authenticate, authorization, unauthorized, unauthenticated, x api key, auth, service account, oauth, iam, secret
        id, license key, login, project key, user key, api keys, appid, app id, signature does not match, access denied
        exception, auth failure, invalid token, token expired, invalid user, trial key, production key, virtual key,
        provided key, unrecognized client, expired token, invalid client token, missing authentication token, incomplete
        signature, invalid signature exception, invalid access key, opt in required, invalid grant, token signature, jwt
        signature, key provided, api schlussel, apischlussel, clave api, clave de api, chave api, chave de api, cle api,
        cle d api, chiave api
        """,
    ),
    (
        MODEL,
        """
        model, models, deployment, deployments, endpoint, inference profile, foundation model, modelid, checkpoint,
        adapter, lora, lo ra, endpoints, publisher model, no endpoints, no deployments, no models loaded, no endpoints
        found, not found for account, no models, no model loaded, on demand throughput, for requested model, by selected
        model, not a chat model, model disabled, model ~ disabled, models disabled, degraded function, not a chat
        completions model, for model, with model, by model, on model, failed to load model, could not load model, unable
        to load model, not load model, error loading model, model not allowed, model ~ not allowed, supported api model
        names, supported model names, plan not include access, no credentials for provider, entity with key, specified
        version, service not activated, service not open
        """,
    ),
    (
        ONE_MODEL,
        """
        model, deployment, endpoint, publisher model, base model, foundation model, for model, with model, by model, on
        model, failed to load model, could not load model, unable to load model, not load model, error loading model,
        model not allowed, model ~ not allowed
        """,
    ),
    (
        REGION,
        """
        country, region, territory, location, geography, geographic area, geo
        """,
    ),
    (
        ACCOUNT,
        """
        account, organization, organisation, project, workspace, tenant, user account, team, org, entitlement, access
        blocked, access terminated, access revoked, access suspended, access disabled
        """,
    ),
    (
        FEATURE,
        """
        tool, tool choice, tool call, tool calling, tool use, function, function call, function calling, image, vision,
        audio, video, pdf, multimodal, multi modal, modality, modalities, media, response format, json schema, json
        mode, json object, structured output, structured outputs, streaming, stream, logprob, logprobs, log
        probabilities, reasoning, thinking, reasoning effort, system prompt, system message, system role, system
        instruction, developer message, developer role, developer instruction, temperature, top p, top k, parameter,
        argument, frequency penalty, presence penalty, penalty, seed, stop sequences, logit bias, parallel tool calls,
        prefill, grammar, guided decoding, embeddings, embedding, chat template, cache control, web search, max
        completion tokens, role, service tier, content type, file, attachment, speech, prediction, citations, schema,
        feature, output format, instruction, suffix, echo, prompt caching, input type, image input, operation, chat,
        vision input, constrained decoding, image content, capability, json output, completions, property, chat model,
        extra body, parameters, not multimodal, mcp, url, size, voice, quality, resolution, connector, no chat template,
        not chat template, no default chat template, not default chat template, input image, input video, input audio,
        input file, at most 1 image, at most 1 video, at most 1 audio, fast mode, > 1 not supported, best of,
        single choice, multiple choices, beam search, verbose json, encrypted content, chat template kwargs
        """,
    ),
    (
        POLICY,
        """
        moderation, responsible ai, guardrail, pii, content filter, harmful content, unsafe content, sensitive content,
        sensitive words, inappropriate content, prohibited content, community guidelines, content restrictions, content
        risk, sensitive, inappropriate, unsafe, jailbreak, explicit content, illegal content, sexual, violence, hate,
        harmful, harassment, content safety, content check, toxic, usage policies, nsfw
        """,
    ),
    (
        LAW,
        """
        policy, policies, safety, guidelines, acceptable use, terms of use, terms of service, illegal, risk control
        """,
    ),
    (
        OFFENDS,
        """
        flagged, flag, violate, violates, violated, violating, violation, comply, breach, inappropriate
        """,
    ),
    (
        GONE,
        """
        exhausted, insufficient, depleted, exceeded, exceeds, reached, use up, used up, used all, run out, ran out, out
        of, too low, not enough, no more, negative, zero, empty, consumed, suspended, inactive, not active, paused,
        disabled, deactivated, blocked, declined, failed, failure, expired, hit, no remaining, not remaining, remaining
        0, terminated, delinquent, lack, lacks, owing, not paid, locked, no longer, surpassed, used, not sufficient,
        shortage, stopped, over, finished, ended, low, missing, overrun, all available, limit, restricted, too small,
        lapsed, no active, no valid, no available, not have enough, not found, gone, left, not suffice
        """,
    ),
    (
        SPENT,
        """
        exhausted, insufficient, depleted, exceeded, exceeds, reached, use up, used up, used all, run out, ran out, out
        of, too low, not enough, no more, negative, no remaining, not remaining, remaining 0, owing, not paid, not
        sufficient, not suffice, overdue
        """,
    ),
    (
        NEEDED,
        """
        required, requires, requirement, must, add, purchase, buy, top up, recharge, upgrade, deposit, need, needed,
        complete, enable, set up, update, renew, subscribe, pass valid, provide valid, supply valid, enter valid, use
        valid, send valid, recargue, recargar, recharger, rechargez, recarregue, aufladen
        """,
    ),
    (
        OWING,
        """
        arrearage, arrears, past due, payment required, insufficient balance, insufficient credit, insufficient quota,
        insufficient funds, balance is insufficient, out of credits, no credits, not credits, billing hard limit,
        account overdue, overdue, unpaid, insufficient account balance, balance not enough, credits exhausted, quota
        exceeded, exceeded quota, billing not active, balance too low, credits too low, payment failed, quota exhausted,
        spend limit exceeded, insufficient token quota, usage limit reached, usage limit exceeded, spending limit,
        insufficient resource package, billing not enabled, billing disabled, usage not included, balance exhausted,
        negative balance, recharge, top up, credit limit, billing error, spend limit, charge resource exhausted, free
        allocated quota, allocation quota, used up, resource package exhausted, prepaid credits, billing account, spend
        cap, owed, owing fees, credit required, credits required, customer verification required, credit balance, valid
        payment, dunning, no quota, no funds, no balance, not quota, not balance, not funds, no payment, no valid
        payment, no active subscription, draw from extra usage, deposit required use, budget blocked, over budget, saldo
        insuficiente, solde insuffisant, commodity not purchased, reached daily, reached weekly, reached monthly,
        exceeded daily, exceeded weekly, exceeded monthly, exceed quota, exceed available quota, exceed current quota,
        credit insuffisant, organization reached limit, organisation reached limit, account reached limit, team reached
        limit, project reached limit, workspace reached limit, key reached limit, increase budget, raise budget,
        different budget
        """,
    ),
    (
        EXCEEDS,
        """
        exceed, exceeded, exceeds, exceeding, too large, too big, too many, longer, larger, greater, bigger, overflow,
        gt, less than, fewer than, at most, no more than, not fit, shorten, shorter, truncate, surpass, beyond, over, up
        to, more than, above, higher than, within, reached, out of range, reduce, too long, lt, leaves 0, leaves no, no
        room, supera, excede, uberschreitet, langer, grosser
        """,
    ),
    (
        LONG,
        """
        too long, longer, reduce length, reduce, shorten, shorter, too large, too lengthy, length exceeded, exceeded
        length, exceeds maximum, too big, exceeds context, long, exceeds limit, exceeds length, range of, exceeds max,
        zu lang, trop long, demasiado largo, muito longo, troppo lungo
        """,
    ),
    (
        MOST,
        """
        maximum, max, limit, allowed, maximal, supports, maximum prompt, maximum input, max prompt, max input, maximum
        sequence, maximum tokens, allowed tokens, only
        """,
    ),
    (
        BAD,
        """
        invalid, incorrect, wrong, missing, expired, revoked, not valid, not provided, not found, fails, failed,
        failure, denied, required, disabled, deactivated, inactive, malformed, unknown, not recognized, blocked, leaked,
        not match, mismatch, bad, unable, rejected, not authorized, not exist, illegal, error, not set, not supplied,
        not present, unregistered, unverified, not configured, empty, not correct, not pass, not active, suspended, not
        validate, not authenticate, not verified, not verify, refused, terminated, banned, not allowed, unrecognized,
        exception, not belong, not registered, deleted, reported, only authorized, pass valid, provide valid, supply
        valid, enter valid, use valid, send valid, not allow, invalid grant, incorrecta, incorrecto, abgelaufen,
        expirado, expirada, caducada, scaduta, expirou, scaduto
        """,
    ),
    (
        ABSENT,
        """
        not found, not exist, no such, decommissioned, deprecated, no longer, retired, sunset, removed, not access, no
        access, not activated, not open, not opened, not deployed, not loaded, no models loaded, inaccessible, unable to
        access, not find, unable to find, no endpoints, no permission, not permission, not pulled, end of life, not
        subscribed, not registered, not entitled, not hosted, not served, not serve, shut down, discontinued, pulling,
        try pulling, not available, unavailable, gated, nonexistent, not configured, not enabled, not permitted, no
        provider, no available, not allowed, not running, not purchased, offline, no healthy, not installed, not
        downloaded, not granted, access denied, not included, restricted, not approved, no route, obsolete, phased out,
        not provisioned, no deployments, not found any, no instances, not have permission, not been loaded, cannot
        access, not authorized, not accessible, lacks access, not ready for use, not whitelisted, not locate, not
        resolve, does not match any, not recognized, not known, no endpoints found, not found for account, no model
        loaded, blocked, permission blocked, not a chat model, only available, deactivated, inactive, not a chat
        completions model, model disabled, model ~ disabled, models disabled, terms required, requires terms, terms
        acceptance, accept the terms, unpurchased, not offered, model not allowed, model ~ not allowed, supported api
        model names, supported model names, no channel, no channels, not in allowlist, not in whitelist, not in api key,
        not allow, not allowed for account, not allowed for organization, not allowed for plan, plan not include access,
        no credentials for provider, not priced, paused, stopped, marked by provider, service not activated, service not
        open, not in list, deleted, fade out, no right
        """,
    ),
    (
        WEAK,
        """
        invalid, unknown, unrecognized, not supported, unsupported, not valid, incorrect, wrong, not match, illegal,
        bad, undefined, must be one of, not recognize, mismatch, on demand throughput not supported, denied
        """,
    ),
    (
        LACKING,
        """
        not support, not supported, unsupported, not enabled, not implemented, only support, only supported, not accept,
        not accepted, not work, not multimodal, not capable, can not process, not able to process, no support, not
        available, not compatible, incompatible, can not handle, unable to process, supports only, not vlm, not vision,
        flagswitch, at most 0, must be verified to, not provide, not applicable, not understand, can not be used, not
        allowed for, not configured, no endpoints found that support, no endpoints found support, no endpoints found
        that can handle, requires a multimodal, unavailable, not offered, not be enabled, not be used with, not exposed,
        no longer supports, no longer accepts, not allowed with model, not permitted with model, not allowed for model,
        not allowed by model, not allowed on model, no chat template, not chat template, no default chat template, not
        default chat template, at most 1 image, at most 1 video, at most 1 audio, model not allow, model ~ not allow,
        only 1 allowed, not allowed on channel, no soporta, nao suporta, > 1 not supported, mandatory for endpoint,
        mandatory for model, not be used with model, not permit
        """,
    ),
    (
        FOR_MODEL,
        """
        with this model, by this model, for this model, on this model, for model, with model, by model, on model, by the
        selected model, by the model, for the requested model, not allowed with model, not permitted with model, not
        allowed for model, not allowed by model, not allowed on model, model not allow, model ~ not allow, not be used
        with model
        """,
    ),
    (
        BARRED,
        """
        not supported, unsupported, not available, unavailable, restricted, prohibited, blocked, not allowed, not
        support, forbidden, denied, not accessible, disabled, not active, deactivated, suspended, banned, terminated,
        inactive, not authorized, not a member, locked, must be verified, closed, frozen, not enabled, not verified, not
        permitted, not have access, no access, access blocked, access terminated, access revoked, access suspended,
        access disabled, not offered, not served, not associated, not allow
        """,
    ),
    (
        FLAGGED,
        """
        flagged, flag, violate, violates, violated, violating, violation, filtered, filter, rejected, triggered,
        triggering, trigger, detected, contain, contains, contained, containing, blocked, refused, prohibited, trip,
        comply, breach, not allowed, failed, intervened, against, denied, inappropriate, not pass, identified, found,
        stopped, requires, not permitted, hit, considered, not allow
        """,
    ),
    (
        MODERATED,
        """
        content filter, content policy violation, data inspection failed, data inspection, responsible ai policy
        violation, content moderation, prohibited content, content blocked, moderation blocked, sensitive content
        detected, content filtered, inappropriate content, content violation, unsafe content, prompt blocked, blocked
        prompt, policy violation, content policy, usage policy violation, moderation failed, input moderation, guardrail
        intervened, content flagged, guardrail violation, cyber policy, bio policy, blocklist, safety violation,
        moderation flagged, content risk, input text risk, text risk, new sensitive, sensitive words, was flagged, were
        flagged, content management policy, usage policies, text sensitive, input sensitive, output sensitive, image
        sensitive, safety check, safety system, safety filter, risky content, content security, content safety, prompt
        injection, unsafe, jailbreak, content exists risk, censorship, censored, considered high risk, blocked by
        safety, content rejected
        """,
    ),
    (
        LOADING,
        """
        loading, warming up, starting up, not ready, degraded, initializing, scaling up, booting, spinning up,
        deploying, scaled to zero, not yet loaded, scaling, warm, waking up, not currently loaded, cold, in progress of
        loading, provisioning, not yet ready, still loading, is loading, degraded function, sleeping, asleep, failed to
        load model, could not load model, unable to load model, not load model, error loading model, unloaded,
        unloading, reloaded, reloading
        """,
    ),
    (
        BUSY,
        """
        overloaded, overload, busy, high demand, capacity, high load, high traffic, unavailable, too busy, saturated,
        heavy load, temporarily, not available, peak, congested, queue, maintenance, no capacity, at capacity,
        experiencing, not responding, overwhelmed, no healthy, try again later, exhausted
        """,
    ),
    (
        BROKEN,
        """
        memory, crashed, crash, failed, failure, fails, error, stopped, terminated, unexpected, unexpectedly, died, not
        running, unhealthy, timed out, timeout, exception, oom, exited, broken, not start, killed, aborted, not respond,
        not load, unable to load, down, not found, not exist, no available, not serve, not supported, no running, no
        channel, no channels
        """,
    ),
    (
        STORED,
        """
        encrypted content, previous response, previous response id, thinking block, thinking blocks, thought signature,
        reasoning item, response id, item id, item with id, signature, redacted thinking, encrypted reasoning, response
        with id, conversation with id, reasoning content item, signature in thinking, thread fingerprint, compaction
        """,
    ),
    (
        ITEM,
        """
        item, items
        """,
    ),
    (
        ROLE,
        """
        developer
        """,
    ),
    (
        ADDRESS,
        """
        ip address, client ip, source ip, from ip, ip blocked, ip banned, ip flagged, resource blocked, resource
        temporarily blocked, resource suspended, resource disabled
        """,
    ),
    (
        LOST,
        """
        invalid, not found, not persisted, corrupted, missing, not be verified, not verify, not be decrypted, not
        decrypt, mismatch, not exist, expired, can not be modified, not be parsed, failed, without, tampered, unknown,
        not provided with required, incorrect, changed, modified, altered, not valid, not decode
        """,
    ),
    (
        BOTCHED,
        """
        tool use failed, json validate failed, failed generation, failed to call a function, output parse failed, json
        generation failed, failed to generate json, malformed function call, tool call validation failed, failed to
        parse tool call, tool call parse error, failed to validate json, failed to parse tool, invalid tool call
        generated, tool parser error, rendering prompt with jinja, input tag ~ found, invalid tool choice type, must be
        json schema text, stream must be set to true, only one candidate, response format type must, model tried to
        generate, not in expected format, invalid tool generation
        """,
    ),
    (
        NEUTRAL,
        """
        data policy, security policy, privacy policy, retry policy, network policy, routing policy, cors policy, budget
        tokens, thinking budget, reasoning budget, token budget, service account key, unsupported image, unsupported
        mime, unable to process input image, unsupported file, unsupported format, cross region, country code, region
        code, location field, country parameter, location parameter, user location country, country field, load image,
        not load image, loading image, load video, not load video, load audio, not load audio, load file, not load file,
        load pdf, load media, load multimodal, based policy, control policy, endpoint policy, access policy, firewall
        policy, explicit deny, context deadline, context canceled, context cancelled, disk quota, load balance, load
        balancing, load balancer, sample rate, sample rate exceeded, sampling rate, frame rate, frame rate exceeded, bit
        rate, bit rate exceeded, zero data retention organization, fair usage policy, fair use policy, chat gpt, chat
        endpoint, balance pool, pool empty, empty pool, exceeded maximum number of attempts, exceeded maximum retries,
        exceeded max retries, maximum number of attempts, maximum retries, max retries, retry limit, retries exceeded,
        not allowed access endpoint, least 1 token long, increase budget tokens, raise budget tokens, out of vocabulary,
        out of bounds, out of order, token id, token ids, min tokens, equal max tokens
        """,
    ),
    (
        STRONG,
        """
        not found, not exist, decommissioned, deprecated, no longer, retired, removed, no such, no file found, unable to
        find, not find, discontinued, expired, deleted
        """,
    ),
    (
        CENSORED,
        """
        blocked, flagged, filtered, moderated, censored, violates, violated, high risk, risky, prohibited,
        inappropriate, disallowed, unsafe
        """,
    ),
    (
        ACTIVE,
        """
        not support, only support, supports only, not currently support, not yet support, no longer supports, no longer
        accepts, requires newer version, prend pas en charge, unterstutzt keine, unterstutzt nicht, no admite, no
        soporta, nao suporta, non supporta
        """,
    ),
    (
        SHUT,
        """
        not found, not exist, invalid, expired, deleted, not associated, not been used, on hold, unknown
        """,
    ),
    (
        SCHEMA,
        """
        field, property, argument, schema, parameter, attribute, string, integer, array, enum, json, syntax, metadata,
        regex, regular expression, subpattern, grammar
        """,
    ),
    (
        TEMPLATE,
        """
        chat template, prompt template
        """,
    ),
    (
        NO,
        """
        no
        """,
    ),
    (
        BUDGET,
        """
        budget
        """,
    ),
    (
        NOT,
        """
        not, no
        """,
    ),
    (
        OUTSIDE,
        """
        mcp, outsideserver, connector, connectors
        """,
    ),
    (
        LEFT,
        """
        conversation, vector store, thread, container, assistant, prompt with id, file with id, no file found, cached
        content, no cached content, file ~, file object, skill, guardrail identifier, guardrail, batch
        """,
    ),
    (
        LEFT | STRONG,
        """
        file not found ~, s3 object, storage object
        """,
    ),
    (
        ONLY,
        """
        only
        """,
    ),
    (
        TAKEN,
        """
        supported, accepted
        """,
    ),
    (
        VARIANT,
        """
        unknown variant, unknown type, unknown content type, unexpected type, unexpected content type, unknown modality
        """,
    ),
    (
        ENDED,
        """
        disabled, deactivated, suspended, banned
        """,
    ),
    (
        MODEL | ONE_MODEL | ABSENT,
        """
        no model named, no model called, no model found, no deployment named, no deployment found, no deployment called,
        no endpoint named, no valid model, llm provider not provided, malformed model name, malformed model id,
        malformed publisher model, unexpected model name
        """,
    ),
    (
        ABSENT | LACKING,
        """
        plan not support, tier not support, free tier not support, key not support, api key not support, account not
        support, subscription not support, project not support, available only
        """,
    ),
    (
        ABSENT | LACKING | STRONG,
        """
        no longer supported
        """,
    ),
    (
        MODEL | ONE_MODEL,
        """
        modelo, modell, modello
        """,
    ),
    (
        GONE | SPENT,
        """
        insuficiente, insuffisant, insuffisante, insufficiente, aufgebraucht, erschopft, reicht nicht, nicht
        ausreichend, agotado, agotada, esgotado, esgotada, epuise, epuisee, esaurito, esaurita, yetersiz
        """,
    ),
    (
        GONE | SPENT | EXCEEDS,
        """
        depasse, depassee, superado, superada, superato, superata, uberschritten, excedido, excedida
        """,
    ),
    (
        BAD | WEAK,
        """
        ungultig, ungultiger, invalida, invalido, no valida, no valido, non valida, non valido, nao valida, nao valido
        """,
    ),
    (
        ABSENT | BROKEN,
        """
        no existe, existe pas, existiert nicht, gibt es nicht, nicht gefunden, nicht vorhanden, nicht verfugbar,
        introuvable, pas trouve, non trouve, non trovato, no encontrado, no se encontro, nao encontrado, nao existe, non
        esiste, no disponible, pas disponible, nao disponivel, non disponibile
        """,
    ),
    (
        WEAK | LACKING,
        """
        nicht unterstutzt, no soportado, nao suportado, non supportato, pas pris en charge
        """,
    ),
)
"""The entries of each bit, or of several together, separated by commas."""

SIGNS: tuple[tuple[str, int], ...] = (
    ("余额不足", OWING),
    ("余额为零", OWING),
    ("购买", GONE),
    ("欠费", OWING),
    ("充值", OWING),
    ("额度不足", OWING),
    ("额度已", OWING),
    ("配额不足", OWING),
    ("余额", MONEY),
    ("资源包", QUOTA),
    ("额度", QUOTA),
    ("配额", QUOTA),
    ("套餐", QUOTA),
    ("用尽", GONE),
    ("用完", GONE),
    ("耗尽", GONE),
    ("不足", GONE),
    ("超出", EXCEEDS | GONE),
    ("压缩", EXCEEDS),
    ("超过", EXCEEDS | GONE),
    ("超限", EXCEEDS | GONE),
    ("达到", GONE),
    ("频繁", PACE),
    ("频率", PACE),
    ("频次", PACE),
    ("限流", PACE),
    ("速率", PACE),
    ("并发", PACE),
    ("每分钟", PACE),
    ("限速", PACE),
    ("模型", MODEL | ONE_MODEL),
    ("接入点", MODEL | ONE_MODEL),
    ("不存在", ABSENT | BROKEN),
    ("可用模型范围", ABSENT),
    ("未找到", ABSENT),
    ("未开通", ABSENT),
    ("无权", ABSENT),
    ("没有权限", ABSENT),
    ("下线", ABSENT),
    ("无可用", ABSENT | BROKEN),
    ("不可用", ABSENT | BUSY),
    ("未部署", ABSENT),
    ("上下文", CONTEXT),
    ("最大长度", CONTEXT),
    ("长度", CONTEXT),
    ("过长", LONG | EXCEEDS),
    ("超长", LONG | EXCEEDS),
    ("太长", LONG | EXCEEDS),
    ("输入", PROMPT),
    ("提示词", PROMPT),
    ("消息", PROMPT),
    ("敏感", MODERATED),
    ("违规", MODERATED),
    ("不安全", MODERATED),
    ("内容安全", MODERATED),
    ("不当内容", MODERATED),
    ("审核", MODERATED),
    ("风险", MODERATED),
    ("密钥", KEY),
    ("令牌", KEY),
    ("鉴权", KEY),
    ("认证", KEY),
    ("身份验证", KEY),
    ("无效", BAD | WEAK),
    ("错误", BAD | WEAK),
    ("失败", BAD | BROKEN),
    ("过期", BAD),
    ("不正确", BAD),
    ("不合法", BAD),
    ("为空", BAD),
    ("不支持", LACKING | BARRED | WEAK),
    ("工具", FEATURE),
    ("函数", FEATURE),
    ("图片", FEATURE),
    ("图像", FEATURE),
    ("参数", FEATURE),
    ("流式", FEATURE),
    ("协议", FEATURE),
    ("地区", REGION),
    ("国家", REGION),
    ("账号", ACCOUNT),
    ("账户", ACCOUNT),
    ("封禁", BARRED),
    ("禁用", BARRED),
    ("冻结", BARRED),
    ("繁忙", BUSY),
    ("过载", BUSY),
    ("负载", BUSY),
    ("稍后", BUSY),
    ("加载", LOADING),
    ("用量", QUOTA),
    ("限额", QUOTA),
    ("到期", GONE),
    ("续费", OWING),
    ("调用方式", FEATURE),
    ("思考", FEATURE),
    ("服务未开通", MODEL),
    ("使用上限", QUOTA),
    ("餘額", MONEY),
    ("積分", MONEY),
    ("积分", MONEY),
    ("儲值", OWING),
    ("額度", QUOTA),
    ("頻繁", PACE),
    ("请求过多", PACE),
    ("請求過多", PACE),
    ("找不到", ABSENT | BROKEN),
    ("下架", ABSENT),
    ("未映射", ABSENT),
    ("违禁", MODERATED),
    ("停止服务", ABSENT),
    ("启动中", LOADING),
    ("免费次数", QUOTA),
    ("内容审", MODERATED),
    ("金鑰", KEY),
    ("無效", BAD | WEAK),
    ("失效", BAD),
    ("上下文長度", CONTEXT),
    ("超過", EXCEEDS | GONE),
    ("コンテキスト", CONTEXT),
    ("超え", EXCEEDS),
    ("컨텍스트", CONTEXT),
    ("контекст", CONTEXT),
    ("фильтром контента", MODERATED),
    ("коштів", MONEY),
    ("недостатньо", GONE),
    ("số dư", MONEY),
    ("không đủ", GONE),
    ("недостаточно средств", OWING),
    ("пополните", OWING),
    ("баланс", MONEY),
    ("квот", QUOTA),
    ("слишком много запросов", PACE),
    ("лимит", PACE),
    ("превышен", GONE | EXCEEDS),
    ("исчерпан", GONE),
    ("недостаточно", GONE),
    ("ключ", KEY),
    ("токен доступа", KEY),
    ("неверный", BAD),
    ("недействител", BAD),
    ("модель", MODEL | ONE_MODEL),
    ("не найден", ABSENT),
    ("не существует", ABSENT),
    ("не поддержива", LACKING | WEAK),
    ("перегружен", BUSY),
    ("функци", FEATURE),
    ("инструмент", FEATURE),
    ("изображен", FEATURE),
    ("не входит", ABSENT),
    ("недоступн", ABSENT | BUSY),
    ("превыша", GONE | EXCEEDS),
    ("подписк", MONEY),
    ("истек", GONE | BAD),
    ("истёк", GONE | BAD),
    ("残高", MONEY),
    ("クレジット", MONEY),
    ("レート制限", PACE),
    ("リクエストが多すぎ", PACE),
    ("apiキー", KEY),
    ("無効", BAD),
    ("モデル", MODEL | ONE_MODEL),
    ("見つかりません", ABSENT),
    ("存在しません", ABSENT),
    ("利用できません", ABSENT),
    ("トークン", TOKENS),
    ("画像", FEATURE),
    ("ツール", FEATURE),
    ("対応していません", LACKING | WEAK),
    ("サポートされていません", LACKING | WEAK),
    ("利用上限", QUOTA),
    ("利用枠", QUOTA),
    ("不適切", MODERATED),
    ("잔액", MONEY),
    ("크레딧", MONEY),
    ("요청 한도", PACE),
    ("호출 한도", PACE),
    ("한도", QUOTA),
    ("부족", GONE),
    ("초과", GONE | EXCEEDS),
    ("요청이 너무 많", PACE),
    ("api 키", KEY),
    ("유효하지", BAD),
    ("모델", MODEL | ONE_MODEL),
    ("찾을 수 없", ABSENT),
    ("존재하지", ABSENT),
    ("지원하지", LACKING | WEAK),
    ("지원되지", LACKING | WEAK),
    ("도구", FEATURE),
    ("함수", FEATURE),
    ("이미지", FEATURE),
    ("모두 사용", GONE),
    ("소진", GONE),
)
"""The same for other languages, some of which have no spaces: substrings to search for, longer ones first."""

FILLERS = """
a an the is are was were be been being am has have had having do does did to of your you our we i it its this that
these those there currently yet already just please any and or so can could would should will may been s re ve
which who as also some
"""
"""Words that are skipped: they mean nothing here."""
