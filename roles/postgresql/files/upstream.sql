-- What a standby has to know of its primary. The settings are those that it must not have less of, or it stops
-- replaying (PostgreSQL's manual, "Hot Standby: Administrator's Overview").
select json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'version', current_setting('server_version_num')::int / 10000,
  'system', (select system_identifier::text from pg_control_system()),
  'megabytes', (select sum(pg_database_size(oid))::bigint / 1048576 from pg_database),
  'least', (
    select json_object_agg(name, setting::int) from pg_settings
    where name in ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')
  )
)
