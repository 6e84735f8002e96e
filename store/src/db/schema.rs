//! The Diesel schema. The source of truth is `migrations/`, and a test compares the two.

diesel::table! {
    submissions (id) {
        id -> Text,
        email -> Text,
        recipient -> Text,
        comments -> Text,
        status -> Text,
        consent_version -> Text,
        consent_at -> Datetime,
        run_number -> Integer,
        last_event -> Integer,
        error_code -> Nullable<Text>,
        error_detail -> Nullable<Text>,
        created_at -> Datetime,
        updated_at -> Datetime,
        finished_at -> Nullable<Datetime>,
        submitted_by -> Nullable<Text>,
        deleted_at -> Nullable<Datetime>,
        erased_at -> Nullable<Datetime>,
        original_email -> Nullable<Text>,
        note -> Nullable<Text>,
        assignee -> Nullable<Text>,
        revision -> Integer,
        stuck_since -> Nullable<Datetime>,
        stuck_cause -> Nullable<Text>,
        token_revoked_at -> Nullable<Datetime>,
        language -> Text,
    }
}

diesel::table! {
    recipient_locks (id) {
        id -> Integer,
    }
}

diesel::table! {
    files (id) {
        id -> Text,
        submission_id -> Text,
        position -> Integer,
        name -> Text,
        media_type -> Text,
        size -> Bigint,
        sha256 -> Text,
        cleaned_size -> Bigint,
        cleaned_sha256 -> Text,
        created_at -> Datetime,
    }
}

diesel::table! {
    runs (submission_id, number) {
        submission_id -> Text,
        number -> Integer,
        temporal_run_id -> Nullable<Text>,
        start_after -> Datetime,
        loopai_agent_id -> Nullable<Integer>,
        loopai_execution_id -> Nullable<Text>,
        created_at -> Datetime,
        started_at -> Nullable<Datetime>,
        requested_at -> Nullable<Datetime>,
        finished_at -> Nullable<Datetime>,
        cancel_requested_at -> Nullable<Datetime>,
        cancel_after -> Nullable<Datetime>,
        maybe_notified -> Nullable<Text>,
    }
}

diesel::table! {
    results (submission_id, run_number) {
        submission_id -> Text,
        run_number -> Integer,
        body -> Text,
        created_at -> Datetime,
    }
}

diesel::table! {
    events (id) {
        id -> Bigint,
        submission_id -> Text,
        number -> Integer,
        name -> Text,
        step -> Text,
        status -> Text,
        message -> Text,
        created_at -> Datetime,
    }
}

diesel::table! {
    deliveries (id) {
        id -> Text,
        submission_id -> Text,
        run_number -> Integer,
        kind -> Text,
        status -> Text,
        attempts -> Integer,
        error_code -> Nullable<Text>,
        error_detail -> Nullable<Text>,
        created_at -> Datetime,
        sending_until -> Nullable<Datetime>,
        settled_at -> Nullable<Datetime>,
        copy -> Integer,
        start_after -> Nullable<Datetime>,
        claim -> Text,
        link_used_at -> Nullable<Datetime>,
    }
}

diesel::table! {
    erasures (submission_id) {
        submission_id -> Text,
        receipt -> Text,
        created_at -> Datetime,
    }
}

diesel::table! {
    idempotency_keys (key_hash) {
        key_hash -> Text,
        body_hash -> Text,
        claim -> Text,
        claimed_until -> Datetime,
        submission_id -> Nullable<Text>,
        expires_at -> Datetime,
    }
}

diesel::table! {
    users (id) {
        id -> Text,
        email -> Text,
        name -> Text,
        role -> Text,
        password_hash -> Nullable<Text>,
        password_changed_at -> Nullable<Datetime>,
        disabled_at -> Nullable<Datetime>,
        created_at -> Datetime,
        updated_at -> Datetime,
    }
}

diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        refresh -> Text,
        previous_refresh -> Nullable<Text>,
        refreshed_at -> Datetime,
        network -> Text,
        address -> Text,
        user_agent -> Text,
        created_at -> Datetime,
        used_at -> Datetime,
        idle_after -> Datetime,
        expires_at -> Datetime,
        ended_at -> Nullable<Datetime>,
        end_reason -> Nullable<Text>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        user_id -> Text,
        name -> Text,
        secret -> Text,
        created_at -> Datetime,
        used_at -> Nullable<Datetime>,
        expires_at -> Nullable<Datetime>,
        revoked_at -> Nullable<Datetime>,
    }
}

diesel::table! {
    throttles (subject) {
        subject -> Text,
        failures -> Integer,
        failed_at -> Datetime,
    }
}

diesel::table! {
    audit (number) {
        number -> Bigint,
        at -> Datetime,
        actor_kind -> Text,
        actor_id -> Nullable<Text>,
        actor_name -> Text,
        action -> Text,
        object_kind -> Text,
        object_id -> Text,
        result -> Text,
        address -> Text,
        request_id -> Text,
        details -> Text,
        key_id -> Text,
        previous -> Text,
        hash -> Text,
    }
}

diesel::table! {
    temporal_cluster (id) {
        id -> Integer,
        namespace -> Text,
        cluster_id -> Text,
        recorded_at -> Datetime,
    }
}

diesel::table! {
    audit_head (id) {
        id -> Integer,
        number -> Bigint,
        hash -> Text,
    }
}

diesel::table! {
    submission_counts (shard, deleted, status) {
        shard -> Integer,
        deleted -> Integer,
        status -> Text,
        amount -> Bigint,
    }
}

diesel::table! {
    loopai_slots (submission_id, run_number) {
        submission_id -> Text,
        run_number -> Integer,
        queued_at -> Datetime,
        turn_expires_at -> Nullable<Datetime>,
        acquired_at -> Nullable<Datetime>,
        held_until -> Nullable<Datetime>,
        released_at -> Nullable<Datetime>,
        failures -> Integer,
        own_failures -> Integer,
        failed_at -> Nullable<Datetime>,
    }
}

diesel::table! {
    loopai_breaker (id) {
        id -> Integer,
        failures -> Integer,
        unavailable -> Integer,
        counted_since -> Nullable<Datetime>,
        failed_at -> Nullable<Datetime>,
        succeeded_at -> Nullable<Datetime>,
        trips -> Integer,
        epoch -> Bigint,
        admits_first_requests -> Integer,
        open_until -> Nullable<Datetime>,
        probe_until -> Nullable<Datetime>,
        ramp_step -> Nullable<Integer>,
        next_request_at -> Nullable<Datetime>,
    }
}

diesel::table! {
    pauses (target) {
        target -> Text,
        reason -> Text,
        paused_by -> Nullable<Text>,
        paused_by_name -> Text,
        paused_at -> Datetime,
    }
}

diesel::table! {
    blob_reservations (sha256) {
        sha256 -> Text,
        reserved_at -> Datetime,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(api_keys -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(users, sessions, api_keys);
diesel::allow_tables_to_appear_in_same_query!(runs, submissions);
diesel::allow_tables_to_appear_in_same_query!(deliveries, submissions);
diesel::allow_tables_to_appear_in_same_query!(loopai_slots, submissions);
diesel::allow_tables_to_appear_in_same_query!(audit, audit_head);
