//! `diagflow user`: accounts, from the command line of a machine that reaches the database.

mod password;

use crate::settings::AccountSettings;
use anyhow::{Context, bail};
use diagflow_api::{check_password, hash_password};
use diagflow_store::{
    Action, Actor, ActorKind, AuditEntry, AuditKey, DONE, EmailAddress, NewUser, ObjectKind, Role,
    Store, StoreError, User, UserChange, UserChanged, UserFilter, UserId,
};
use nix::unistd::{Uid, User as SystemUser};
use secrecy::ExposeSecret;
use serde_json::Map;
use std::io::{self, Write};

/// Accounts that are read at once.
const PAGE: i64 = 500;
/// Most characters of a name.
const LONGEST_NAME: usize = 200;

/// Arguments of `diagflow user`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make an account. Its password is asked for, unless it is one of a program.
    Create(Create),
    /// List all accounts.
    List,
    /// Disable an account, and end its sessions.
    Disable {
        /// Its e-mail address.
        #[arg(long)]
        email: EmailAddress,
    },
}

#[derive(clap::Args)]
struct Create {
    /// What somebody signs in with.
    #[arg(long)]
    email: EmailAddress,
    /// What to call them.
    #[arg(long, value_parser = name)]
    name: String,
    /// admin, operator, clinician, institution, patient or service.
    #[arg(long)]
    role: Role,
    /// Read the password from the first line of the standard input, instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
}

fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count());
    if fits && !name.contains(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(format!("a name is one line of 1 to {LONGEST_NAME} characters"))
}

/// Does it, and says what was done.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AccountSettings::read()?;
    let store = Store::connect(&settings.database.pool()).await?;
    let key = AuditKey::new(settings.audit_key.expose_secret());
    let done = match args.command {
        Command::Create(new) => create(&store, &key, new).await,
        Command::List => list(&store, &key).await,
        Command::Disable { email } => disable(&store, &key, &email).await,
    };
    done.map_err(|error| match error.downcast::<StoreError>() {
        // What a database says may quote what is in it.
        Ok(StoreError::Unavailable(_)) => anyhow::anyhow!(
            "cannot reach the database at {} (DATABASE_URL)",
            settings.database.address()
        ),
        Ok(_) => anyhow::anyhow!(
            "the database at {} refused it: was `diagflow migrate` run?",
            settings.database.address()
        ),
        Err(error) => error,
    })
}

async fn create(store: &Store, key: &AuditKey, new: Create) -> anyhow::Result<()> {
    let id = UserId::new();
    let line = line(key, Action::UserCreate, Some(id));
    let line = line.with("email", new.email.as_str()).with("role", new.role.to_string());
    let password_hash = if new.role == Role::Service {
        if new.password_stdin {
            bail!("an account with the role service has API keys instead of a password");
        }
        None
    } else {
        let password = password::ask(new.password_stdin)?;
        if let Err(weak) = check_password(&password, new.email.as_str(), &new.name) {
            store.audit(&line.refused("invalid_input")).await?;
            return Err(weak.into());
        }
        Some(hash_password(&password))
    };
    let user = NewUser { id, email: new.email, name: new.name, role: new.role, password_hash };
    if !store.create_user(&user, &line).await? {
        store.audit(&line.refused("email_taken")).await?;
        bail!("{} has an account already", user.email);
    }
    println!("made the account of {} as {}: {}", user.email, user.role, user.id);
    Ok(())
}

async fn list(store: &Store, key: &AuditKey) -> anyhow::Result<()> {
    store.audit(&line(key, Action::UsersView, None)).await?;
    let mut out = io::stdout().lock();
    let filter = UserFilter::default();
    for page in 0.. {
        let found = store.users(&filter, page * PAGE, PAGE).await?.users;
        let is_last = (found.len() as i64) < PAGE;
        for user in found {
            writeln!(out, "{}", shown(&user)).context("cannot write the list")?;
        }
        if is_last {
            break;
        }
    }
    Ok(())
}

fn shown(user: &User) -> String {
    let state = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
    format!("{}  {:11}  {:8}  {}  {}", user.id, user.role.to_string(), state, user.email, user.name)
}

async fn disable(store: &Store, key: &AuditKey, email: &EmailAddress) -> anyhow::Result<()> {
    let Some(user) = store.user_by_email(email.as_str()).await? else {
        let line = line(key, Action::UserDisable, None).with("email", email.as_str());
        store.audit(&line.refused("not_found")).await?;
        bail!("{email} has no account");
    };
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let line = line(key, Action::UserDisable, Some(user.id)).with("enabled", false);
    match store.change_user(user.id, &change, &line).await? {
        UserChanged::Done(_) => println!("disabled the account of {email}"),
        UserChanged::LastAdmin => {
            store.audit(&line.refused("last_admin")).await?;
            bail!("{email} is the last admin: make another account an admin first")
        }
        other => bail!("the account cannot be disabled as it is: {other:?}"),
    }
    Ok(())
}

/// A line of the audit about whoever types this. `user` is the account that it is about; none where it is
/// about all of them.
fn line(key: &AuditKey, action: Action, user: Option<UserId>) -> AuditEntry {
    let uid = Uid::current();
    let known = SystemUser::from_uid(uid).ok().flatten().map(|user| user.name);
    let name = known.unwrap_or_else(|| format!("uid {uid}"));
    AuditEntry {
        key: key.clone(),
        actor: Actor { kind: ActorKind::Operator, id: None, name },
        action,
        object_kind: if user.is_some() { ObjectKind::User } else { ObjectKind::Service },
        object_id: user.map(|id| id.to_string()).unwrap_or_default(),
        result: DONE.to_owned(),
        address: String::new(),
        request_id: String::new(),
        details: Map::new(),
    }
}
