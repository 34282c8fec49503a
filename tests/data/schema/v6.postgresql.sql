CREATE TABLE attempts (
    sweep character varying NOT NULL COLLATE "C",
    case_id character varying NOT NULL COLLATE "C",
    generation integer NOT NULL,
    submission integer NOT NULL,
    restart integer NOT NULL,
    token character varying NOT NULL COLLATE "C",
    rank character varying DEFAULT ''::character varying NOT NULL COLLATE "C",
    status character varying COLLATE "C",
    reason character varying COLLATE "C",
    started character varying COLLATE "C",
    ended character varying COLLATE "C",
    wall_seconds double precision,
    cpu_seconds double precision,
    max_rss_bytes bigint,
    host character varying COLLATE "C",
    job_id character varying COLLATE "C"
);
CREATE TABLE blocks (
    sweep character varying NOT NULL COLLATE "C",
    block bigint NOT NULL,
    outcomes text COLLATE "C",
    kinds text COLLATE "C"
);
CREATE TABLE cases (
    sweep character varying NOT NULL COLLATE "C",
    case_id character varying NOT NULL COLLATE "C",
    idx bigint,
    carried text COLLATE "C",
    rank character varying NOT NULL COLLATE "C",
    status character varying NOT NULL COLLATE "C",
    reason character varying COLLATE "C",
    params text NOT NULL COLLATE "C",
    tags text NOT NULL COLLATE "C",
    metrics text NOT NULL COLLATE "C",
    error text COLLATE "C",
    seed character varying NOT NULL COLLATE "C",
    replicate integer NOT NULL,
    generation integer NOT NULL,
    submission integer NOT NULL,
    chunk integer NOT NULL,
    restart integer NOT NULL,
    token character varying NOT NULL COLLATE "C",
    started character varying COLLATE "C",
    ended character varying COLLATE "C",
    wall_seconds double precision,
    cpu_seconds double precision,
    max_rss_bytes bigint,
    host character varying COLLATE "C",
    job_id character varying COLLATE "C",
    run_dir character varying COLLATE "C",
    code_digest character varying COLLATE "C",
    task_id integer,
    attempt integer DEFAULT 1 NOT NULL,
    params_jsonb jsonb GENERATED ALWAYS AS (
CASE
    WHEN ((strpos(params, '\u0000'::text) = 0) AND (strpos(params, '\ud'::text) = 0)) THEN (params)::jsonb
    ELSE NULL::jsonb
END) STORED,
    metrics_jsonb jsonb GENERATED ALWAYS AS (
CASE
    WHEN ((strpos(metrics, '\u0000'::text) = 0) AND (strpos(metrics, '\ud'::text) = 0)) THEN (metrics)::jsonb
    ELSE NULL::jsonb
END) STORED
);
CREATE TABLE inputs (
    sweep character varying NOT NULL COLLATE "C",
    case_id character varying NOT NULL COLLATE "C",
    rank character varying NOT NULL COLLATE "C",
    files text NOT NULL COLLATE "C"
);
CREATE TABLE journals (
    sweep character varying NOT NULL COLLATE "C",
    path character varying NOT NULL COLLATE "C",
    "position" bigint NOT NULL,
    torn integer NOT NULL,
    closed integer DEFAULT 0 NOT NULL
);
CREATE TABLE meta (
    name character varying NOT NULL COLLATE "C",
    value character varying NOT NULL COLLATE "C"
);
CREATE TABLE places (
    sweep character varying NOT NULL COLLATE "C",
    idx bigint NOT NULL,
    case_id character varying NOT NULL COLLATE "C",
    carried text COLLATE "C"
);
CREATE TABLE submissions (
    sweep character varying NOT NULL COLLATE "C",
    submission integer NOT NULL,
    manifest character varying NOT NULL COLLATE "C",
    generation integer NOT NULL,
    cases bigint NOT NULL,
    chunks integer NOT NULL,
    "time" character varying COLLATE "C",
    cluster character varying COLLATE "C",
    code_digest character varying COLLATE "C"
);
CREATE TABLE sweeps (
    sweep character varying NOT NULL COLLATE "C",
    name character varying NOT NULL COLLATE "C",
    manifest character varying NOT NULL COLLATE "C"
);
CREATE TABLE tasks (
    sweep character varying NOT NULL COLLATE "C",
    submission integer NOT NULL,
    chunk integer NOT NULL,
    start_rank character varying NOT NULL COLLATE "C",
    host character varying COLLATE "C",
    job_id character varying COLLATE "C",
    "time" character varying COLLATE "C",
    verdict_rank character varying NOT NULL COLLATE "C",
    status character varying COLLATE "C",
    reason character varying COLLATE "C"
);
CREATE TABLE totals (
    sweep character varying NOT NULL COLLATE "C",
    outcomes text COLLATE "C",
    kinds text COLLATE "C",
    tasks text COLLATE "C",
    closed text COLLATE "C"
);
INSERT INTO blocks VALUES ('5eed5eed5eed5eed', 0, '[[["complete",null,0,1,1,"c0dec0dec0dec0de",1],[[0,4]],1.25,33554432],[["failed","error",0,1,1,"c0dec0dec0dec0de",1],[[4,5]],1.25,33554432],[["running",null,0,1,1,null,1],[[5,6]],null,null]]', '[[[["x"],"float"],[["y"],"str"]],[[["big"],"json"],[["energy"],"float"],[["f"],"float"],[["nul"],"str"]],[]]');
INSERT INTO cases VALUES ('5eed5eed5eed5eed', '8549152f37719d3f', 0, NULL, '000000.1.000001.000000.00000000000000aa.3.ddb3d551', 'complete', NULL, '{"x":1,"y":"a"}', '[]', '{"energy":0.0}', NULL, 'c01964fdc571cdf23e3434a82d0d3f8f', 0, 0, 1, 0, 0, '00000000000000aa', '2026-11-20T12:00:00.000+00:00', '2026-11-20T12:00:00.000+00:00', 1.25, 1, 33554432, 'n1', '7', NULL, 'c0dec0dec0dec0de', NULL, 1, DEFAULT, DEFAULT);
INSERT INTO cases VALUES ('5eed5eed5eed5eed', '4aae0eb641510296', 1, NULL, '000000.1.000001.000000.00000000000000aa.3.45dd8874', 'complete', NULL, '{"x":1,"y":"é\u0000"}', '[]', '{"big":1000000000000000000000000000000,"f":1e+16,"nul":"\u0000"}', NULL, '201509844fa8d20f4bcc6235e14f07fd', 0, 0, 1, 0, 0, '00000000000000aa', '2026-11-20T12:00:00.000+00:00', '2026-11-20T12:00:00.000+00:00', 1.25, 1, 33554432, 'n1', '7', NULL, 'c0dec0dec0dec0de', NULL, 1, DEFAULT, DEFAULT);
INSERT INTO cases VALUES ('5eed5eed5eed5eed', '8fe622e397b3b86d', 2, NULL, '000000.1.000001.000000.00000000000000aa.3.91b13233', 'complete', NULL, '{"x":2.5,"y":"a"}', '[]', '{"energy":0.2857142857142857}', NULL, '961dc276a6a2ad73661ab5257de3c6c7', 0, 0, 1, 0, 0, '00000000000000aa', '2026-11-20T12:00:00.000+00:00', '2026-11-20T12:00:00.000+00:00', 1.25, 1, 33554432, 'n1', '7', NULL, 'c0dec0dec0dec0de', NULL, 1, DEFAULT, DEFAULT);
INSERT INTO cases VALUES ('5eed5eed5eed5eed', '8e6505962aa24f59', 3, NULL, '000000.1.000001.000000.00000000000000bb.3.b47c868c', 'complete', NULL, '{"x":2.5,"y":"é\u0000"}', '[]', '{"energy":0.42857142857142855}', NULL, '945253d5537fbeba0196deeab292a8ed', 0, 0, 1, 1, 0, '00000000000000bb', '2026-11-20T12:00:00.000+00:00', '2026-11-20T12:00:00.000+00:00', 1.25, 1, 33554432, 'n1', '8', NULL, 'c0dec0dec0dec0de', NULL, 1, DEFAULT, DEFAULT);
INSERT INTO cases VALUES ('5eed5eed5eed5eed', 'ed0d4728a9518eb1', 4, NULL, '000000.0.000001.000000.00000000000000bb.3.e618a59c', 'failed', 'error', '{"x":1e+16,"y":"a"}', '[]', '{"energy":0.5714285714285714}', '{"type":"ValueError","message":"no\u0000good"}', '4b15336d9d990ca37e2f67756c971a49', 0, 0, 1, 1, 0, '00000000000000bb', '2026-11-20T12:00:00.000+00:00', '2026-11-20T12:00:00.000+00:00', 1.25, 1, 33554432, 'n1', '8', NULL, 'c0dec0dec0dec0de', NULL, 1, DEFAULT, DEFAULT);
INSERT INTO cases VALUES ('5eed5eed5eed5eed', '17a396cd13ce3cb0', 5, NULL, '000000.0.000001.000000.00000000000000bb.0.45942d0c', 'running', NULL, '{"x":1e+16,"y":"é\u0000"}', '[]', '{}', NULL, 'a1d0512d93163b7b348ad7df615b473f', 0, 0, 1, 1, 0, '00000000000000bb', '2026-11-20T12:00:00.000+00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, DEFAULT, DEFAULT);
INSERT INTO journals VALUES ('5eed5eed5eed5eed', '0001/0/0.0.00000000000000aa.jsonl', 2275, 0, 0);
INSERT INTO journals VALUES ('5eed5eed5eed5eed', '0001/0/1.0.00000000000000bb.jsonl', 1908, 0, 0);
INSERT INTO meta VALUES ('program', 'hpcsweep');
INSERT INTO meta VALUES ('schema_version', '6');
INSERT INTO sweeps VALUES ('5eed5eed5eed5eed', 's', 'bbe45db1bac55b0d');
INSERT INTO tasks VALUES ('5eed5eed5eed5eed', 1, 0, '000000.00000000000000aa', 'n1', '7', '2026-11-20T12:00:00.000+00:00', '000000.2026-11-20T12:00:00.000+00:00.93c5fe97', 'complete', NULL);
INSERT INTO tasks VALUES ('5eed5eed5eed5eed', 1, 1, '000000.00000000000000bb', 'n1', '8', '2026-11-20T12:00:00.000+00:00', '000000.2026-11-20T12:00:00.000+00:00.ed62216c', 'complete', NULL);
ALTER TABLE ONLY attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (sweep, case_id, generation, submission, restart, token);
ALTER TABLE ONLY blocks
    ADD CONSTRAINT blocks_pkey PRIMARY KEY (sweep, block);
ALTER TABLE ONLY cases
    ADD CONSTRAINT cases_pkey PRIMARY KEY (sweep, case_id);
ALTER TABLE ONLY inputs
    ADD CONSTRAINT inputs_pkey PRIMARY KEY (sweep, case_id);
ALTER TABLE ONLY journals
    ADD CONSTRAINT journals_pkey PRIMARY KEY (sweep, path);
ALTER TABLE ONLY meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);
ALTER TABLE ONLY places
    ADD CONSTRAINT places_pkey PRIMARY KEY (sweep, idx);
ALTER TABLE ONLY submissions
    ADD CONSTRAINT submissions_pkey PRIMARY KEY (sweep, submission);
ALTER TABLE ONLY sweeps
    ADD CONSTRAINT sweeps_pkey PRIMARY KEY (sweep);
ALTER TABLE ONLY tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (sweep, submission, chunk);
ALTER TABLE ONLY totals
    ADD CONSTRAINT totals_pkey PRIMARY KEY (sweep);
CREATE INDEX cases_by_index ON cases USING btree (sweep, idx);
CREATE INDEX cases_of_reruns ON cases USING btree (sweep, generation) WHERE (generation > 0);
CREATE INDEX journals_to_read ON journals USING btree (sweep) WHERE (closed = 0);
CREATE INDEX journals_torn ON journals USING btree (sweep) WHERE (torn > 0);
CREATE INDEX places_by_case ON places USING btree (sweep, case_id);
