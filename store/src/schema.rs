//! The tables as Diesel sees them. `migrations/` is the truth; a test compares the two.

diesel::table! {
    submissions (id) {
        id -> Text,
        email -> Text,
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
    }
}

diesel::table! {
    results (submission_id) {
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
