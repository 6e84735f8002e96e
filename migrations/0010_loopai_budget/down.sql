DROP TABLE IF EXISTS loopai_places;

DROP TABLE IF EXISTS loopai_gate;
