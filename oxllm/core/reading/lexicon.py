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
PERIOD = 1 << 56
"""A day or longer: what is used up for one is a quota, and no rate."""
USAGE = 1 << 57
"""What is counted in a period."""
OWN = 1 << 58
"""A number of the request that is compared with another of its numbers, and not with the model's."""
SERVED = 1 << 59
"""What a provider does with a model that it has."""
GIVEN = 1 << 60
"""What a client does with the name of a model."""
HELD = 1 << 61
"""A key, or something in a request that is called so, too."""
REVOKED = 1 << 62
"""Said of keys, and of nothing in a request."""

ENTRIES: tuple[tuple[int, str], ...] = (
    (
        MONEY,
        """
        credit, balance, billing, payment, invoice, prepaid, spend, spending, fund, wallet, paid plan, paid tier, paid
        account, free trial, trial credits, subscription, usage fee, pro plan, money, pay as you go, paid subscription,
        prepayment, paid model, paid users, premium, saldo, guthaben, solde, credito, bakiye, bakiyeniz, coding plan,
        kontostand, creditos, abonnement, fonds, kreditrahmen, rechnung, facture, budget mensuel, bezahlung
        """,
    ),
    (
        QUOTA,
        """
        quota, allowance, neurons, usage limit, service limit, usage cap, resource package, token package, resource
        pack, free tier, plan limit, free usage, hour limit, session limit, call volume, included usage, compute units,
        free requests, free quota, trial, inference limit, key limit, api key limit, total limit, spending cap, credit
        cap, usage quota, token allowance, extra usage, free allocation, token allocation, api total request limit,
        cuota, cota, kontingent, ausgabenlimit, testzeitraum, limite de depenses, periode d essai, tageslimit
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
        solicitacoes, troppe richieste, ratenlimit, parallel calls, simultaneous calls, pro minute, pro sekunde,
        gleichzeitige anfragen, anfragelimit, par minute, par seconde, por minuto, por segundo, limite de debit, limite
        de velocidad, exceed allowed rate, exceeds allowed rate, exceed rate allowed, exceeds rate allowed
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
        length, window size, contexto, contesto, kontextlange, kontextfenster, contexte, tokenanzahl, longueur maximale,
        longitud maxima, nombre maximal de jetons, tokenlimit, limite de jetons, what model can
        """,
    ),
    (
        TOKENS,
        """
        token, jetons
        """,
    ),
    (
        PROMPT,
        """
        prompt, input, message, conversation, text, query, history, document, passage, messages, content, output,
        response, generation, eingabe, mensaje, mensagem, nachricht, entree
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
        cle d api, chiave api, service token, personal access token, key blocked, key disabled, key banned, blocked key,
        disabled key, authentifizierung, authentification, autenticacion, autenticacao, zugangsdaten, identifiants,
        anmeldedaten, jeton d acces, aucune cle, cle fournie, kein gultiger api schlussel
        """,
    ),
    (
        MODEL,
        """
        model, models, deployment, deployments, endpoint, inference profile, foundation model, modelid, checkpoint,
        adapter, lora, lo ra, endpoints, publisher model, no endpoints, no deployments, no models loaded, no endpoints
        found, not found for account, no models, no model loaded, on demand throughput, for requested model, by selected
        model, not a chat model, degraded function, not a chat completions model, for model, with model, by model, on
        model, failed to load model, could not load model, unable to load model, not load model, error loading model,
        model not allowed, model ~ not allowed, supported api model names, supported model names, plan not include
        access, no credentials for provider, entity with key, specified version, service not activated, service not open
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
        country, region, territory, location, geography, geographic area, geo, land, pais, votre pays, ce pays, votre
        region, ihrer region
        """,
    ),
    (
        ACCOUNT,
        """
        account, organization, organisation, project, workspace, tenant, user account, team, org, entitlement, access
        blocked, access terminated, access revoked, access suspended, access disabled, konto, compte, cuenta
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
        input file, at most 1 image, at most 1 video, at most 1 audio, fast mode, > 1 not supported, best of, single
        choice, multiple choices, beam search, verbose json, encrypted content, chat template kwargs, picture, photo,
        text only, only text, only accept text, only accepts text, bild, bilder, bildeingabe, werkzeuge, outils,
        herramientas, imagenes, imagens, ferramentas, funktionsaufruf, funktionsaufrufe, appel de fonction, appel de
        fonctions
        """,
    ),
    (
        POLICY,
        """
        moderation, responsible ai, guardrail, pii, content filter, harmful content, unsafe content, sensitive content,
        sensitive words, inappropriate content, prohibited content, community guidelines, content restrictions, content
        risk, sensitive, inappropriate, unsafe, jailbreak, explicit content, illegal content, sexual, violence, hate,
        harmful, harassment, content safety, content check, toxic, usage policies, nsfw, content rules, safety rules
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
        lapsed, no active, no valid, no available, not have enough, not found, gone, left, not suffice, spent, dry, not
        cover, below, maxed, limited, drained, dried, burned, burnt
        """,
    ),
    (
        SPENT,
        """
        exhausted, insufficient, depleted, exceeded, exceeds, reached, use up, used up, used all, run out, ran out, out
        of, too low, not enough, no more, negative, no remaining, not remaining, remaining 0, owing, not paid, not
        sufficient, not suffice, overdue, spent, zero, empty, surpassed, hit, gone, dry, not cover, consumed
        """,
    ),
    (
        NEEDED,
        """
        required, requires, requirement, must, add, purchase, buy, top up, recharge, upgrade, deposit, need, needed,
        complete, enable, set up, update, renew, subscribe, pass valid, provide valid, supply valid, enter valid, use
        valid, send valid, recargue, recargar, recharger, rechargez, recarregue, aufladen, reload, refill, replenish
        """,
    ),
    (
        OWING,
        """
        arrearage, arrears, past due, payment required, insufficient balance, insufficient credit, insufficient quota,
        insufficient funds, balance is insufficient, out of credits, billing hard limit, account overdue, overdue,
        unpaid, insufficient account balance, balance not enough, credits exhausted, quota exceeded, exceeded quota,
        billing not active, balance too low, credits too low, payment failed, quota exhausted, spend limit exceeded,
        insufficient token quota, usage limit reached, usage limit exceeded, spending limit, insufficient resource
        package, billing not enabled, billing disabled, usage not included, balance exhausted, negative balance,
        recharge, top up, credit limit, billing error, spend limit, charge resource exhausted, free allocated quota,
        allocation quota, used up, resource package exhausted, prepaid credits, billing account, spend cap, owed, owing
        fees, credit required, credits required, customer verification required, credit balance, valid payment, dunning,
        draw from extra usage, deposit required use, budget blocked, over budget, saldo insuficiente, solde insuffisant,
        commodity not purchased, exceed quota, exceed available quota, exceed current quota, credit insuffisant,
        organization reached limit, organisation reached limit, account reached limit, team reached limit, project
        reached limit, workspace reached limit, key reached limit, increase budget, raise budget, different budget,
        recharger votre compte, laden sie ihr guthaben, zahlung erforderlich, paiement requis, offene rechnung, impayee,
        impaye, begleichen, card declined, payment declined, no active plan, subscription cancelled, subscription
        canceled, plan ended, buy more tokens, purchase plan, billing not set up, outstanding invoice
        """,
    ),
    (
        EXCEEDS,
        """
        exceed, exceeded, exceeds, exceeding, too large, too big, too many, longer, larger, greater, bigger, overflow,
        gt, less than, fewer than, at most, no more than, not fit, shorten, shorter, truncate, surpass, beyond, over, up
        to, more than, above, higher than, within, reached, out of range, reduce, too long, lt, leaves 0, leaves no, no
        room, supera, excede, uberschreitet, langer, grosser, excedio, zu viele, trop de, plus longue, plus long, langer
        als, uberschreiten, goes past, go past, went past
        """,
    ),
    (
        LONG,
        """
        too long, longer, reduce length, reduce, shorten, shorter, too large, too lengthy, length exceeded, exceeded
        length, exceeds maximum, too big, exceeds context, long, exceeds limit, exceeds length, range of, exceeds max,
        zu lang, trop long, demasiado largo, muito longo, troppo lungo, exceeds supported, than model can, than this
        model can, not fit into model, not fit in model, not fit window, not fit into window, more tokens than model,
        more tokens than, more than model can, more than this model can
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
        expirado, expirada, caducada, scaduta, expirou, scaduto, token expired, expired token, invalid token, key
        blocked, key disabled, key banned, blocked key, disabled key, fehlt, fehlgeschlagen, manquante, manquant,
        invalide, echec, fallida, falha, caducado, falsch, falscher, falsche, gesperrt, inconnue, expire, refusee,
        badly, aucune cle, cle fournie, kein gultiger api schlussel, widerrufen, rotated, rolled, lapsed, cancelled,
        canceled, withdrawn, locked, frozen, paused, turned off, switched off, removed, no longer valid, no longer
        active, no longer accepted, out of date, compromised, not accepted, dead, can not be used
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
        completions model, terms required, requires terms, terms acceptance, accept the terms, unpurchased, not offered,
        model not allowed, model ~ not allowed, supported api model names, supported model names, no channel, no
        channels, not in allowlist, not in whitelist, not in api key, not allow, not allowed for account, not allowed
        for organization, not allowed for plan, plan not include access, no credentials for provider, not priced,
        paused, stopped, marked by provider, service not activated, service not open, not in list, deleted, fade out, no
        right, not servable, disabled, requires access, requires approval, not allowed for key, not allowed for api key,
        not allowed for token, not allowed for user, not allowed for team, not allowed for project, not allowed for
        group, not allowed for tier, accept license, agree to license, kein zugriff, keinen zugriff, nicht mehr
        unterstutzt, nicht mehr verfugbar, pas acces, no tiene acceso, sin acceso, indisponivel, non disponible,
        eingestellt, plus pris en charge, nicht verfugbar, steht nicht zur verfugung, nicht verwenden, nicht
        freigeschaltet, pas ete trouve, pas autorise, durfen nicht, pas disponible, private preview, closed beta, invite
        only, limited to enterprise, limited to customers, limited to subscribers, limited to paying, reserved for,
        turned off, switched off, shut off, withdrawn, archived, superseded, replaced by, locked, exclusive, not
        visible, not rolled out, only for subscribers, hidden, dropped, not part of plan, waitlisted, waitlist, went
        away, gone, left catalog, not host
        """,
    ),
    (
        WEAK,
        """
        invalid, unknown, unrecognized, not supported, unsupported, not valid, incorrect, wrong, not match, illegal,
        bad, undefined, must be one of, not recognize, mismatch, on demand throughput not supported, denied, should be
        one of, unbekannt, unbekanntes, unbekannte, unbekannter, inconnu, inconnue, desconocido, desconhecido
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
        mandatory for model, not be used with model, not permit, text only, only text, only accept text, only accepts
        text, no compatible, no son compatible, coming soon, requires different model, requires newer model, needs
        different model, needs newer model, restricted to other models, beyond model, missing from model, turned off for
        model, switched off for model, off for model
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
        access disabled, not offered, not served, not associated, not allow, flagged for abuse, under review, can not be
        used from, gesperrt, deaktiviert, nicht verfugbar, suspendu, desactive, bloque, non disponible, pas disponible,
        suspendida, suspendido, bloqueada, interdit, interdite, shut down, needs verification, requires verification,
        awaiting approval, no api access, limited for abuse
        """,
    ),
    (
        FLAGGED,
        """
        flagged, flag, violate, violates, violated, violating, violation, filtered, filter, rejected, triggered,
        triggering, trigger, detected, contain, contains, contained, containing, blocked, refused, prohibited, trip,
        comply, breach, not allowed, failed, intervened, against, denied, inappropriate, not pass, identified, found,
        stopped, requires, not permitted, hit, considered, not allow, withheld, breaks, break, breaking
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
        unloading, reloaded, reloading, starting
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
        generate, not in expected format, invalid tool generation, parse input at pos
        """,
    ),
    (
        NEUTRAL,
        """
        data policy, security policy, privacy policy, retry policy, network policy, routing policy, cors policy, token
        budget, service account key, unsupported image, unsupported mime, unable to process input image, unsupported
        file, unsupported format, cross region, country code, region code, location field, country parameter, location
        parameter, user location country, country field, load image, not load image, loading image, load video, not load
        video, load audio, not load audio, load file, not load file, load pdf, load media, load multimodal, based
        policy, control policy, endpoint policy, access policy, firewall policy, explicit deny, context deadline,
        context canceled, context cancelled, disk quota, load balance, load balancing, load balancer, sample rate,
        sample rate exceeded, sampling rate, frame rate, frame rate exceeded, bit rate, bit rate exceeded, zero data
        retention organization, fair usage policy, fair use policy, chat gpt, chat endpoint, balance pool, pool empty,
        empty pool, exceeded maximum number of attempts, exceeded maximum retries, exceeded max retries, maximum number
        of attempts, maximum retries, max retries, retry limit, retries exceeded, not allowed access endpoint, least 1
        token long, out of vocabulary, out of bounds, out of order, token id, token ids, model config, model
        configuration, model parameters, model params, model settings, model options, model kwargs, subscription
        request, idempotency key, cache key, json key, object key, primary key, foreign key, partition key, only
        available when, only available if, model turn, model role, model message, subscription access, pre consume, bad
        request, time budget, generation budget, latency budget, error budget
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
        inappropriate, disallowed, unsafe, withheld
        """,
    ),
    (
        ACTIVE,
        """
        not support, only support, supports only, not currently support, not yet support, no longer supports, no longer
        accepts, requires newer version, prend pas en charge, unterstutzt keine, unterstutzt nicht, no admite, no
        soporta, nao suporta, non supporta, gere pas, accepte pas, kann keine
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
        regex, regular expression, subpattern, grammar, column, variable
        """,
    ),
    (
        TEMPLATE,
        """
        chat template, prompt template, for template
        """,
    ),
    (
        NO,
        """
        no, kein, keine, keinen
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
        not, no, lack, not allow, not permit, kein, keine, keinen
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
        content, no cached content, file ~, file object, skill, guardrail identifier, guardrail, batch, leftobject, file
        id, file ids
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
        only, only available, only offered
        """,
    ),
    (
        TAKEN,
        """
        supported, accepted, offered, available, possible, permitted, only available, only offered
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
        no valid model, llm provider not provided, malformed model name, malformed model id, malformed publisher model,
        unexpected model name, repository not found, choose valid model, select valid model, specify valid model, use
        valid model, use supported model, choose supported model, select supported model, acces au modele refuse, modell
        verweigert, aucun modele, key not use model, account not use model
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
        modelo, modell, modello, requested provider
        """,
    ),
    (
        GONE | SPENT,
        """
        insuficiente, insuffisant, insuffisante, insufficiente, aufgebraucht, erschopft, reicht nicht, nicht
        ausreichend, agotado, agotada, esgotado, esgotada, epuise, epuisee, esaurito, esaurita, yetersiz, nicht
        genugend, unzureichend, unzureichendes, erreicht, atteint, atteinte, alcanzado, acabaram, zu niedrig,
        abgelaufen, terminee, plus de, expire, ausgeschopft, verbraucht, reicht nicht aus, epuises, epuisees, depassee
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
        nicht unterstutzt, no soportado, nao suportado, non supportato, pas pris en charge, pas prises en charge, pas
        prise en charge
        """,
    ),
    (
        OWN,
        """
        budget tokens, thinking budget, reasoning budget, min tokens, minimum tokens, increase budget tokens, raise
        budget tokens
        """,
    ),
    (
        SERVED,
        """
        serve, host, offer, deploy, carry
        """,
    ),
    (
        PERIOD,
        """
        daily, today, weekly, month, monthly, annual, yearly, billing cycle, billing period, per day, per week, requests
        day, calls day, tokens day, monatlich, monatliches, monatliche, taglich, tagliches, tagliche, monat, mensuel,
        mensuelle, quotidien, quotidienne, mois, mensual, mensal, diario, diaria, week, tomorrow, next month
        """,
    ),
    (
        USAGE,
        """
        limit, cap, usage, request, token, call, allotment, allocation, included, maximum, token limit, token count,
        total tokens, number of tokens, limite, requete, anfragen, solicitudes, requisicoes, ceiling
        """,
    ),
    (
        GIVEN,
        """
        provided, specified, given, set, supplied, selected, passed, in request
        """,
    ),
    (
        HELD,
        """
        key, token, cle, schlussel
        """,
    ),
    (
        REVOKED,
        """
        expired, revoked, inactive, not active, suspended, leaked, compromised, deactivated, revoquee, gesperrt,
        widerrufen
        """,
    ),
)
"""The entries of each bit, or of several together, separated by commas."""

SIGNS: tuple[tuple[int, str], ...] = (
    (
        OWING,
        """
        余额不足, 余额为零, 欠费, 充值, 额度不足, 额度已, 配额不足, 续费, 儲值, недостаточно средств, пополните,
        升级套餐, 停机, 缴费, 欠款, 支払いが必要, 未払い, チャージ, 결제가 필요, 충전, пополнить, 결제해,
        нет средств, оплатите, не оплачен, 续订, 未支付, 请付款, 请缴, 결제 수단을 등록, 결제 수단이
        """,
    ),
    (
        GONE,
        """
        购买, 用尽, 用完, 耗尽, 不足, 达到, 到期, недостатньо, không đủ, исчерпан, недостаточно, 부족,
        모두 사용, 소진, 已达, 达上限, 没有可用, 为 0, 为0, 为零, 耗完, 透支, 使い切, 達し, 切れ, 만료,
        закончил, 不够, 用光, ゼロ, 登録されていません, равен нулю, 小于 0, 小于0, 失效, 欠, なくなり, 超過,
        終了しました, 尽き, 上限, израсходован, завершён, завершен, кончил
        """,
    ),
    (
        MONEY,
        """
        余额, 餘額, 積分, 积分, коштів, số dư, баланс, подписк, 残高, クレジット, 잔액, 크레딧, 点数, 费用,
        金额, 资费, 支払い, 料金, 課金, 결제, 요금, 잔고, кредит, оплат, счёт, счет, 予算, 消费, 预算, 구독,
        포인트, 资金, 会员, 订阅, 支出, 账单, 付费, プリペイド, 契約プラン, 支払, 無料分, 会費, 예산, 결제 수단,
        бюджет, пробный период, тариф, счёте, денег
        """,
    ),
    (
        QUOTA,
        """
        资源包, 额度, 配额, 套餐, 用量, 限额, 使用上限, 額度, 免费次数, квот, 利用上限, 利用枠, 한도, token 包,
        流量包, 调用包, 無料枠, クォータ, 割り当て, 使用量, 할당량, 사용량, 试用, 流量, トライアル, 利用可能枠,
        체험
        """,
    ),
    (
        EXCEEDS | GONE,
        """
        超出, 超过, 超限, 超過, 超え
        """,
    ),
    (
        EXCEEDS,
        """
        压缩, 大于, слишком много, 넘었, 넘습
        """,
    ),
    (
        PACE,
        """
        频繁, 频率, 频次, 限流, 速率, 并发, 每分钟, 限速, 頻繁, 请求过多, 請求過多, слишком много запросов,
        レート制限, リクエストが多すぎ, 요청 한도, 호출 한도, 요청이 너무 많, 限频, 频控, 触发流控, 过快,
        请求太多, 太快, 分あたり, 秒あたり, 同時リクエスト, リクエスト数, リクエスト制限, 분당, 초당, 속도 제한,
        동시 요청, 요청 빈도, лимит, слишком часто, частые запросы, частот, в минуту, в секунду, одновременн,
        достигнут лимит, リクエストが多, 要求が多, 请求次数过多, 调用次数过多, 访问次数过多
        """,
    ),
    (
        MODEL | ONE_MODEL,
        """
        模型, 接入点, модел, モデル, 모델
        """,
    ),
    (
        ABSENT | BROKEN,
        """
        不存在, 无可用, 找不到
        """,
    ),
    (
        ABSENT,
        """
        可用模型范围, 未找到, 未开通, 无权, 没有权限, 下线, 未部署, 下架, 未映射, 停止服务, не найден,
        не существует, не входит, 見つかりません, 存在しません, 利用できません, 찾을 수 없, 존재하지, 权限,
        停用, 未开放, 暂未开放, 停止, 不在, 廃止, 終了し, アクセス権, 権限, 제공되지, 접근 권한, 사용할 수 없,
        권한이 없, нет доступа, отключена, снята, больше не, 未上线, 废弃, 检查模型, 已关闭, 没有找到, 没有可用,
        ご利用いただけ, 登録されていません, удален, 没有部署, 未授权, 暂不支持该模型, 不提供, 已移除, 已删除,
        弃用, 未发布, ありません, 提供されて, 使用できません, 提供終了, 확인해 주세요, 종료, не обнаружен,
        не подключен, не предоставл, устарел
        """,
    ),
    (
        ABSENT | BUSY,
        """
        недоступн
        """,
    ),
    (
        CONTEXT,
        """
        上下文, 最大长度, 长度, 上下文長度, コンテキスト, 컨텍스트, контекст, количество токенов, число токенов,
        длинный запрос, token 数, 길이, 文字数, モデルの上限, длина
        """,
    ),
    (
        LONG | EXCEEDS,
        """
        过长, 超长, 太长, 長すぎ, 大きすぎ, 너무 깁, 너무 길, 너무 긴
        """,
    ),
    (
        PROMPT,
        """
        输入, 提示词, 消息, 对话, 内容, 文本, 入力, プロンプト, メッセージ, 입력, 프롬프트, 메시지, промпт,
        сообщени, 会話, входн, 文章, テキスト
        """,
    ),
    (
        MODERATED,
        """
        敏感, 违规, 不安全, 内容安全, 不当内容, 审核, 风险, 违禁, 内容审, фильтром контента, 不適切, 不合规,
        合规, ポリシーに違反, コンテンツポリシー, 安全フィルター, 有害, 부적절, 콘텐츠 정책, 정책을 위반, 유해,
        запрос нарушает, недопустимый контент, запрещённ, запрещенн, модерац, 不良信息, 过滤, 违反, 风控,
        不符合安全, 黄赌毒, 涉政, 色情, 暴力
        """,
    ),
    (
        KEY,
        """
        密钥, 令牌, 鉴权, 认证, 認証, 身份验证, 金鑰, ключ, токен доступа, apiキー, api 키, 签名, api key,
        シークレットキー, 인증, api키, авторизац, аутентификац, 秘钥, key 已被, アクセストークン, 토큰이 유효
        """,
    ),
    (
        BAD | WEAK,
        """
        无效, 错误, 無效, 有误, 잘못되, 正しくあり, 不正确, 잘못된, 無効, 不正な
        """,
    ),
    (
        BAD | BROKEN,
        """
        失败
        """,
    ),
    (
        BAD,
        """
        不合法, 为空, 失效, неверный, недействител, 유효하지, 未提供, 禁用, 不存在, 吊销, 缺失, 失敗し, 期限,
        見つかりません, 실패, 올바르지, 만료, неверн, не найден, ошибка, заблокирован, отозван, неправильн,
        不通过, 확인할 수 없, отсутств, деактивирован, не удалось проверить, 已被封禁, 无权限, 未授权, 过时,
        有问题
        """,
    ),
    (
        LACKING | BARRED | WEAK,
        """
        不支持
        """,
    ),
    (
        FEATURE,
        """
        工具, 函数, 图片, 图像, 参数, 流式, 协议, 调用方式, 思考, функци, инструмент, изображен, 画像, ツール,
        도구, 함수, 이미지, 音频, 视频, 视觉, 多模态, 语音, 联网, 嵌入, 接口, ストリーミング, 関数, 音声, 動画,
        스트리밍, 음성, 오디오, 비디오, потоков, аудио, видео, рассужден, 系统提示, 系统消息, 视觉能力,
        工具调用, 温度, 缓存, 文件
        """,
    ),
    (
        REGION,
        """
        地区, 国家, 地域, お住まい, 지역, 국가, регион, стран
        """,
    ),
    (
        ACCOUNT,
        """
        账号, 账户, アカウント, 組織, 계정, 조직, аккаунт, учётн, учетн, организац
        """,
    ),
    (
        BARRED,
        """
        封禁, 禁用, 冻结, 限制访问, 注销, 停止, 凍結, 利用できません, 制限されて, 정지, 차단, 비활성,
        사용할 수 없, заблокирован, отключен, отключён, приостановлен, не поддержива, недоступ, 禁止访问,
        запрещ, 限制使用, ロックされ, 停用, 未授权, 無効化, ロック, 禁止, 账户异常, 账号异常, 账号存在异常
        """,
    ),
    (
        BUSY,
        """
        繁忙, 过载, 负载, 稍后, перегружен, 集中
        """,
    ),
    (
        LOADING,
        """
        加载, 启动中
        """,
    ),
    (
        MODEL,
        """
        服务未开通
        """,
    ),
    (
        GONE | EXCEEDS,
        """
        превышен, превыша, 초과
        """,
    ),
    (
        LACKING | WEAK,
        """
        не поддержива, 対応していません, サポートされていません, 지원하지, 지원되지, サポートしていません,
        サポートされていない, 未対応, 対応しません
        """,
    ),
    (
        GONE | BAD,
        """
        истек, истёк
        """,
    ),
    (
        TOKENS,
        """
        トークン, 토큰
        """,
    ),
    (
        ACTIVE,
        """
        模型不支持
        """,
    ),
    (
        EXCEEDS | LONG,
        """
        слишком длин, слишком больш, 多すぎ, 너무 많
        """,
    ),
    (
        PERIOD,
        """
        本月, 当月, 每月, 今日, 当日, 今天, 每日, 每天, 本周, 每周, 周期内, 今月, 本日, 1日, 月間, 이번 달,
        월간, 일일, 오늘, месяц, сутки, суточн, дневн, на сегодня, недел
        """,
    ),
    (
        USAGE,
        """
        次数, 上限, 调用量, 用量, 请求, リクエスト, 利用, 요청, 사용
        """,
    ),
    (
        BAD | GONE | REVOKED,
        """
        过期
        """,
    ),
    (
        ABSENT | BUSY | BARRED,
        """
        不可用
        """,
    ),
    (
        OWN,
        """
        范围
        """,
    ),
    (
        WEAK,
        """
        неизвестн
        """,
    ),
    (
        LACKING,
        """
        无法处理, 没有视觉, 不具备, не умеет, 利用できません, 无法使用, 不能处理, 没有能力, 使えません,
        使用できません, 사용할 수 없, не принимает, не может, не работает
        """,
    ),
    (
        GONE | ABSENT | BAD,
        """
        がありません, 없습니다
        """,
    ),
    (
        BAD | REVOKED,
        """
        失効
        """,
    ),
    (
        GONE | ABSENT,
        """
        종료
        """,
    ),
    (
        USAGE | TOKENS,
        """
        токен
        """,
    ),
    (
        ONLY | TAKEN | FEATURE | LACKING,
        """
        仅支持文本, 只支持文本
        """,
    ),
    (
        REVOKED | BAD,
        """
        期限が切れ, 期限切れ, просрочен, истёк, истек
        """,
    ),
    (
        LONG,
        """
        больше допустим
        """,
    ),
)
"""The same for other languages, some of which have no spaces: parts of words to search for, separated by commas."""

FILLERS = """
a an the is are was were be been being am has have had having do does did to of your you our we i it its this that
these those there currently yet already just please any and or so can could would should will may been s re ve
which who as also some
"""
"""Words that are skipped: they mean nothing here."""
