#!/bin/bash
# Starts one role of the cluster: entrypoint slurmctld|slurmdbd|slurmd|login|mariadb|postgres|COMMAND.
set -euo pipefail

SECRETS=/var/lib/secrets

# A secret that the containers of one cluster share. The first one makes it; `ln` lets one win.
secret() {
    if [[ ! -e $SECRETS/$1 ]]; then
        local made
        made=$(mktemp -p "$SECRETS")
        head -c 96 /dev/urandom | base64 --wrap=0 >"$made"
        ln "$made" "$SECRETS/$1" 2>/dev/null || true
        rm "$made"
    fi
    cat "$SECRETS/$1"
}

wait_port() {
    until (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; do sleep 0.2; done
}

start_munge() {
    install --directory --owner=munge --mode=755 /run/munge
    install --owner=munge --mode=400 <(secret munge) /etc/munge/munge.key
    runuser --user munge -- munged
}

# The database of the accounting: its user may come from the containers of this network.
serve_mariadb() {
    local data=/var/lib/mysql password
    password=$(secret mariadb)
    if [[ ! -d $data/mysql ]]; then
        mariadb-install-db --user=mysql --datadir="$data" --skip-test-db >/dev/null
    fi
    install --directory --owner=mysql /run/mysqld
    cat >/run/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS slurm IDENTIFIED BY '$password';
GRANT ALL ON slurm_acct_db.* TO slurm;
SQL
    # slurmdbd 26.05 does not support innodb_snapshot_isolation, which MariaDB 11.6 and later have on.
    exec mariadbd --no-defaults --user=mysql --datadir="$data" --socket=/run/mysqld/mysqld.sock \
        --init-file=/run/init.sql --innodb-buffer-pool-size=256M --innodb-lock-wait-timeout=900 \
        --loose-innodb-snapshot-isolation=OFF
}

serve_slurmdbd() {
    start_munge
    wait_port mariadb 3306
    install --owner=slurm --mode=600 /dev/stdin /etc/slurm/slurmdbd.conf <<CONF
AuthType=auth/munge
DbdHost=slurmdbd
SlurmUser=slurm
PidFile=/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=mariadb
StorageUser=slurm
StoragePass=$(secret mariadb)
StorageLoc=slurm_acct_db
CONF
    exec slurmdbd -D
}

serve_slurmctld() {
    start_munge
    install --directory --owner=slurm /var/lib/slurm /var/lib/slurm/slurmctld
    wait_port slurmdbd 6819
    sacctmgr --immediate add cluster containers >/dev/null || true
    exec slurmctld -D
}

# Docker mounts the cgroups of a container read-only.
open_cgroups() {
    local mounted
    for mounted in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts); do
        mount -o remount,rw,bind "$mounted"
    done
}

serve_slurmd() {
    open_cgroups
    start_munge
    mkdir -p /var/lib/slurm/slurmd
    ln -sfn /dev/null /run/gpu0
    ln -sfn /dev/null /run/gpu1
    wait_port slurmctld 6817
    exec slurmd -D
}

# A user's own database in PostgreSQL, and the file by which hpcsweep finds it.
serve_postgres() {
    local data=/var/lib/postgresql/data bin password user
    bin=$(echo /usr/lib/postgresql/*/bin)
    password=$(secret postgres)
    install --directory --owner=postgres --mode=700 "$data"
    if [[ ! -e $data/PG_VERSION ]]; then
        runuser --user postgres -- "$bin/initdb" --pgdata="$data" --encoding=UTF8 --locale=C.UTF-8 \
            --auth-local=peer --auth-host=scram-sha-256 >/dev/null
        echo "host all all samenet scram-sha-256" >>"$data/pg_hba.conf"
        for user in ada ben; do
            echo "CREATE ROLE $user LOGIN PASSWORD '$password-$user';"
            echo "CREATE DATABASE $user OWNER $user;"
        done | runuser --user postgres -- "$bin/postgres" --single -D "$data" postgres >/dev/null
    fi
    exec runuser --user postgres -- "$bin/postgres" -D "$data" -c listen_addresses='*'
}

make_home() {
    local user=$1 home=/shared/home/$1
    [[ ! -d $home ]] || return 0
    install --directory --owner="$user" --group=lab --mode=750 "$home"
    install --owner="$user" --group=lab --mode=600 /dev/stdin "$home/.pgpass" \
        <<<"postgres:5432:$user:$user:$(secret postgres)-$user"
    install --owner="$user" --group=lab --mode=600 /dev/stdin "$home/.pg_service.conf" <<CONF
[sweeps]
host=postgres
dbname=$user
user=$user
CONF
}

# Homes and examples in the shared volume; then the container waits for those who come in.
serve_login() {
    start_munge
    mkdir -p /shared/home
    make_home ada
    make_home ben
    exec sleep infinity
}

role=${1:-login}
case $role in
    mariadb | postgres | slurmctld | slurmdbd | slurmd | login) "serve_$role" ;;
    *) exec "$@" ;;
esac
