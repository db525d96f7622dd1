-- Who may do what, as one JSON object; of a password only whether there is one, and of which kind.
select json_build_object(
  'roles', (
    select json_agg(json_build_object(
      'name', rolname,
      'login', rolcanlogin,
      'superuser', rolsuper,
      'createdb', rolcreatedb,
      'createrole', rolcreaterole,
      'replication', rolreplication,
      'bypassrls', rolbypassrls,
      'connection_limit', rolconnlimit,
      'until', case when isfinite(rolvaliduntil) then to_char(rolvaliduntil at time zone 'utc', 'YYYY-MM-DD') end,
      'password', case when rolpassword is null then 'none' when rolpassword like 'SCRAM-SHA-256$%' then 'scram' else 'md5' end,
      'member_of', array (
        select of_group.rolname from pg_auth_members join pg_roles as of_group on of_group.oid = roleid
        where member = pg_authid.oid order by 1
      ),
      'databases', array (
        select datname from pg_database
        where datallowconn and not datistemplate and has_database_privilege(pg_authid.oid, pg_database.oid, 'connect') order by 1
      )
    ) order by rolname)
    from pg_authid where rolname !~ '^pg_'
  ),
  'databases', (
    select json_agg(json_build_object(
      'name', datname,
      'owner', pg_get_userbyid(datdba),
      'public', has_database_privilege('public', oid, 'connect')
    ) order by datname)
    from pg_database where datallowconn and not datistemplate
  ),
  'hba', (
    select json_agg(json_build_object(
      'line', line_number,
      'type', type,
      'databases', database,
      'users', user_name,
      'address', concat_ws('/', address, netmask),
      'method', auth_method,
      'error', error
    ) order by line_number)
    from pg_hba_file_rules
  )
);
