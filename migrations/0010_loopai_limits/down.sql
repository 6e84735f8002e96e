DROP TABLE IF EXISTS loopai_slots;

DROP TABLE IF EXISTS loopai_breaker;
