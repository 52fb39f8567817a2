-- What is defined in a database, in words that do not depend on object numbers:
-- kind, name, definition.
SELECT 'database', 'encoding and collation',
       format('%s, %s, %s', pg_encoding_to_char(encoding), datcollate, datctype)
  FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'schema', format('%I', nspname), format('owner %s, %s', nspowner::regrole, nspacl)
  FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT 'extension', format('%I', extname), format('version %s in %s', extversion, extnamespace::regnamespace)
  FROM pg_extension
UNION ALL
SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
                      WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'type' END,
       format('%I.%I', n.nspname, c.relname),
       format('kind %s, persistence %s, owner %s, options %s, security %s %s, privileges %s, %s %s, identity %s',
              c.relkind, c.relpersistence, c.relowner::regrole, c.reloptions, c.relrowsecurity,
              c.relforcerowsecurity, c.relacl, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
              c.relreplident)
       || CASE WHEN c.relkind IN ('v', 'm') THEN E'\n' || pg_get_viewdef(c.oid) ELSE '' END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname),
       format('%s, %s, not null %s, default %s, identity %s, generated %s, collation %s, privileges %s',
              rank() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
              a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
              NULLIF(a.attcollation, 0)::regcollation, a.attacl)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
   AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'index', format('%I.%I', n.nspname, c.relname),
       format('%s, valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'constraint', format('%s %I', COALESCE(NULLIF(k.conrelid, 0)::regclass::text, k.contypid::regtype::text), k.conname),
       format('%s, validated %s', pg_get_constraintdef(k.oid), k.convalidated)
  FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'trigger', format('%s %I', t.tgrelid::regclass, t.tgname),
       format('%s, enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND c.relpersistence <> 't'
UNION ALL
SELECT 'rule', format('%I.%I %I', schemaname, tablename, rulename), definition
  FROM pg_rules WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
UNION ALL
SELECT 'policy', format('%I.%I %I', schemaname, tablename, policyname),
       format('%s for %s to %s using %s with check %s', permissive, cmd, roles, qual, with_check)
  FROM pg_policies WHERE schemaname !~ '^pg_'
UNION ALL
SELECT 'sequence', format('%I.%I', schemaname, sequencename),
       format('%s from %s, %s to %s by %s, cycle %s, cache %s',
              data_type, start_value, min_value, max_value, increment_by, cycle, cache_size)
  FROM pg_sequences WHERE schemaname !~ '^pg_'
UNION ALL
SELECT 'function', p.oid::regprocedure::text,
       format('owner %s, privileges %s', p.proowner::regrole, p.proacl)
       || CASE WHEN p.prokind IN ('f', 'p', 'w') THEN E'\n' || pg_get_functiondef(p.oid) ELSE ', aggregate' END
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'type', t.oid::regtype::text,
       format('%s, owner %s, base %s, not null %s, default %s, labels %s', t.typtype, t.typowner::regrole,
              format_type(NULLIF(t.typbasetype, 0), t.typtypmod), t.typnotnull, t.typdefault,
              (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE t.typtype IN ('d', 'e') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT 'event trigger', format('%I', evtname),
       format('on %s %s do %s, enabled %s', evtevent, evttags, evtfoid::regprocedure, evtenabled)
  FROM pg_event_trigger
