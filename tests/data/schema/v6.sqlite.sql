BEGIN TRANSACTION;
CREATE TABLE attempts (sweep VARCHAR NOT NULL, case_id VARCHAR NOT NULL, generation INTEGER NOT NULL, submission INTEGER NOT NULL, restart INTEGER NOT NULL, token VARCHAR NOT NULL, rank VARCHAR DEFAULT '' NOT NULL, status VARCHAR, reason VARCHAR, started VARCHAR, ended VARCHAR, wall_seconds FLOAT, cpu_seconds FLOAT, max_rss_bytes BIGINT, host VARCHAR, job_id VARCHAR, PRIMARY KEY (sweep, case_id, generation, submission, restart, token));
CREATE TABLE blocks (sweep VARCHAR NOT NULL, block BIGINT NOT NULL, outcomes TEXT, kinds TEXT, PRIMARY KEY (sweep, block)) WITHOUT ROWID;
INSERT INTO "blocks" VALUES('5eed5eed5eed5eed',0,'[[["complete",null,0,1,1,"c0dec0dec0dec0de",1],[[0,4]],1.25,33554432],[["failed","error",0,1,1,"c0dec0dec0dec0de",1],[[4,5]],1.25,33554432],[["running",null,0,1,1,null,1],[[5,6]],null,null]]','[[[["x"],"float"],[["y"],"str"]],[[["big"],"json"],[["energy"],"float"],[["f"],"float"],[["nul"],"str"]],[]]');
CREATE TABLE cases (sweep VARCHAR NOT NULL, case_id VARCHAR NOT NULL, idx BIGINT , carried TEXT , rank VARCHAR NOT NULL, status VARCHAR NOT NULL, reason VARCHAR , params TEXT NOT NULL, tags TEXT NOT NULL, metrics TEXT NOT NULL, error TEXT , seed VARCHAR NOT NULL, replicate INTEGER NOT NULL, generation INTEGER NOT NULL, submission INTEGER NOT NULL, chunk INTEGER NOT NULL, restart INTEGER NOT NULL, token VARCHAR NOT NULL, started VARCHAR , ended VARCHAR , wall_seconds FLOAT , cpu_seconds FLOAT , max_rss_bytes BIGINT , host VARCHAR , job_id VARCHAR , run_dir VARCHAR , code_digest VARCHAR , task_id INTEGER , attempt INTEGER DEFAULT '1' NOT NULL, PRIMARY KEY (sweep, case_id));
INSERT INTO "cases" VALUES('5eed5eed5eed5eed','8549152f37719d3f',0,NULL,'000000.1.000001.000000.00000000000000aa.3.ddb3d551','complete',NULL,'{"x":1,"y":"a"}','[]','{"energy":0.0}',NULL,'c01964fdc571cdf23e3434a82d0d3f8f',0,0,1,0,0,'00000000000000aa','2026-11-20T12:00:00.000+00:00','2026-11-20T12:00:00.000+00:00',1.25,1.0,33554432,'n1','7',NULL,'c0dec0dec0dec0de',NULL,1);
INSERT INTO "cases" VALUES('5eed5eed5eed5eed','4aae0eb641510296',1,NULL,'000000.1.000001.000000.00000000000000aa.3.45dd8874','complete',NULL,'{"x":1,"y":"é\u0000"}','[]','{"big":1000000000000000000000000000000,"f":1e+16,"nul":"\u0000"}',NULL,'201509844fa8d20f4bcc6235e14f07fd',0,0,1,0,0,'00000000000000aa','2026-11-20T12:00:00.000+00:00','2026-11-20T12:00:00.000+00:00',1.25,1.0,33554432,'n1','7',NULL,'c0dec0dec0dec0de',NULL,1);
INSERT INTO "cases" VALUES('5eed5eed5eed5eed','8fe622e397b3b86d',2,NULL,'000000.1.000001.000000.00000000000000aa.3.91b13233','complete',NULL,'{"x":2.5,"y":"a"}','[]','{"energy":0.2857142857142857}',NULL,'961dc276a6a2ad73661ab5257de3c6c7',0,0,1,0,0,'00000000000000aa','2026-11-20T12:00:00.000+00:00','2026-11-20T12:00:00.000+00:00',1.25,1.0,33554432,'n1','7',NULL,'c0dec0dec0dec0de',NULL,1);
INSERT INTO "cases" VALUES('5eed5eed5eed5eed','8e6505962aa24f59',3,NULL,'000000.1.000001.000000.00000000000000bb.3.b47c868c','complete',NULL,'{"x":2.5,"y":"é\u0000"}','[]','{"energy":0.42857142857142855}',NULL,'945253d5537fbeba0196deeab292a8ed',0,0,1,1,0,'00000000000000bb','2026-11-20T12:00:00.000+00:00','2026-11-20T12:00:00.000+00:00',1.25,1.0,33554432,'n1','8',NULL,'c0dec0dec0dec0de',NULL,1);
INSERT INTO "cases" VALUES('5eed5eed5eed5eed','ed0d4728a9518eb1',4,NULL,'000000.0.000001.000000.00000000000000bb.3.e618a59c','failed','error','{"x":1e+16,"y":"a"}','[]','{"energy":0.5714285714285714}','{"type":"ValueError","message":"no\u0000good"}','4b15336d9d990ca37e2f67756c971a49',0,0,1,1,0,'00000000000000bb','2026-11-20T12:00:00.000+00:00','2026-11-20T12:00:00.000+00:00',1.25,1.0,33554432,'n1','8',NULL,'c0dec0dec0dec0de',NULL,1);
INSERT INTO "cases" VALUES('5eed5eed5eed5eed','17a396cd13ce3cb0',5,NULL,'000000.0.000001.000000.00000000000000bb.0.45942d0c','running',NULL,'{"x":1e+16,"y":"é\u0000"}','[]','{}',NULL,'a1d0512d93163b7b348ad7df615b473f',0,0,1,1,0,'00000000000000bb','2026-11-20T12:00:00.000+00:00',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1);
CREATE TABLE inputs (sweep VARCHAR NOT NULL, case_id VARCHAR NOT NULL, rank VARCHAR NOT NULL, files TEXT NOT NULL, PRIMARY KEY (sweep, case_id));
CREATE TABLE journals (
	sweep VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	position BIGINT NOT NULL, 
	torn INTEGER NOT NULL, closed INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (sweep, path)
);
INSERT INTO "journals" VALUES('5eed5eed5eed5eed','0001/0/0.0.00000000000000aa.jsonl',2275,0,0);
INSERT INTO "journals" VALUES('5eed5eed5eed5eed','0001/0/1.0.00000000000000bb.jsonl',1908,0,0);
CREATE TABLE meta (
	name VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema_version','6');
INSERT INTO "meta" VALUES('program','hpcsweep');
CREATE TABLE places (sweep VARCHAR NOT NULL, idx BIGINT NOT NULL, case_id VARCHAR NOT NULL, carried TEXT, PRIMARY KEY (sweep, idx)) WITHOUT ROWID;
CREATE TABLE submissions (sweep VARCHAR NOT NULL, submission INTEGER NOT NULL, manifest VARCHAR NOT NULL, generation INTEGER NOT NULL, cases BIGINT NOT NULL, chunks INTEGER NOT NULL, time VARCHAR, cluster VARCHAR, code_digest VARCHAR, PRIMARY KEY (sweep, submission));
CREATE TABLE sweeps (
	sweep VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	manifest VARCHAR NOT NULL, 
	PRIMARY KEY (sweep)
);
INSERT INTO "sweeps" VALUES('5eed5eed5eed5eed','s','bbe45db1bac55b0d');
CREATE TABLE tasks (
	sweep VARCHAR NOT NULL, 
	submission INTEGER NOT NULL, 
	chunk INTEGER NOT NULL, 
	start_rank VARCHAR NOT NULL, 
	host VARCHAR, 
	job_id VARCHAR, 
	time VARCHAR, 
	verdict_rank VARCHAR NOT NULL, 
	status VARCHAR, 
	reason VARCHAR, 
	PRIMARY KEY (sweep, submission, chunk)
);
INSERT INTO "tasks" VALUES('5eed5eed5eed5eed',1,0,'000000.00000000000000aa','n1','7','2026-11-20T12:00:00.000+00:00','000000.2026-11-20T12:00:00.000+00:00.93c5fe97','complete',NULL);
INSERT INTO "tasks" VALUES('5eed5eed5eed5eed',1,1,'000000.00000000000000bb','n1','8','2026-11-20T12:00:00.000+00:00','000000.2026-11-20T12:00:00.000+00:00.ed62216c','complete',NULL);
CREATE TABLE totals (sweep VARCHAR NOT NULL, outcomes TEXT, kinds TEXT, tasks TEXT, closed TEXT, PRIMARY KEY (sweep));
CREATE INDEX places_by_case ON places (sweep, case_id);
CREATE INDEX cases_by_index ON cases (sweep, idx);
CREATE INDEX cases_of_reruns ON cases (sweep, generation) WHERE generation > 0;
CREATE INDEX journals_to_read ON journals (sweep) WHERE closed = 0;
CREATE INDEX journals_torn ON journals (sweep) WHERE torn > 0;
COMMIT;
