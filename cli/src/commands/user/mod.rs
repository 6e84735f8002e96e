//! `diagflow user`: creates, lists and disables accounts.

mod password;

use super::operator;
use crate::settings::AdminSettings;
use anyhow::{Context, bail};
use diagflow_api::{ErrorCode, check_password, hash_password};
use diagflow_store::{
    Action, AuditKey, EmailAddress, NewUser, Role, Store, User, UserChange, UserChangeOutcome,
    UserFilter, UserId,
};
use std::io::{self, Write};

const PAGE_SIZE: i64 = 500;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Create an account. Prompts for a password unless the role is service
    Create(Create),
    /// List all accounts
    List,
    /// Disable an account and end its sessions
    Disable {
        /// E-mail address of the account
        #[arg(long)]
        email: EmailAddress,
    },
}

#[derive(clap::Args)]
struct Create {
    /// E-mail address for signing in
    #[arg(long)]
    email: EmailAddress,
    /// Name of the person or program
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// Role of the account: admin, operator, clinician, institution, patient or service
    #[arg(long)]
    role: Role,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

fn parse_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let fits = (1..=User::MAX_NAME_CHARS).contains(&name.chars().count());
    if fits && !name.contains(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(format!("the name must be a single line of 1 to {} characters", User::MAX_NAME_CHARS))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let settings = AdminSettings::read()?;
    let store = Store::connect(&settings.database).await?;
    let key = AuditKey::new(&settings.audit_keys);
    let outcome = match args.command {
        Command::Create(new) => create(&store, &key, new).await,
        Command::List => list(&store, &key).await,
        Command::Disable { email } => disable(&store, &key, &email).await,
    };
    outcome.map_err(|error| operator::explain(error, &settings.database))
}

async fn create(store: &Store, key: &AuditKey, new: Create) -> anyhow::Result<()> {
    let id = UserId::new();
    let entry = operator::audit_entry(key, Action::UserCreate, Some(id));
    let entry = entry.with("email", new.email.as_str()).with("role", new.role.to_string());
    let password_hash = if new.role == Role::Service {
        if new.password_stdin {
            bail!("an account with the role service signs in with API keys and has no password");
        }
        None
    } else {
        let password = password::read(new.password_stdin)?;
        if let Err(weak) = check_password(&password, new.email.as_str(), &new.name) {
            store.append_audit_entry(&entry.with_result(ErrorCode::InvalidInput.as_str())).await?;
            return Err(weak.into());
        }
        Some(hash_password(&password))
    };
    let user = NewUser { id, email: new.email, name: new.name, role: new.role, password_hash };
    if !store.create_user(&user, &entry).await? {
        store.append_audit_entry(&entry.with_result(ErrorCode::EmailTaken.as_str())).await?;
        bail!("an account for {} already exists", user.email);
    }
    println!("created the account {} with the role {}: {}", user.email, user.role, user.id);
    Ok(())
}

async fn list(store: &Store, key: &AuditKey) -> anyhow::Result<()> {
    store.append_audit_entry(&operator::audit_entry(key, Action::UsersView, None)).await?;
    let mut out = io::stdout().lock();
    let filter = UserFilter::default();
    for page in 0.. {
        let found = store.users(&filter, page * PAGE_SIZE, PAGE_SIZE).await?.users;
        let is_last = (found.len() as i64) < PAGE_SIZE;
        for user in found {
            writeln!(out, "{}", describe(&user)).context("cannot write the list")?;
        }
        if is_last {
            break;
        }
    }
    Ok(())
}

fn describe(user: &User) -> String {
    let state = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
    format!("{}  {:11}  {:8}  {}  {}", user.id, user.role.to_string(), state, user.email, user.name)
}

async fn disable(store: &Store, key: &AuditKey, email: &EmailAddress) -> anyhow::Result<()> {
    let Some(user) = store.user_by_email(email.as_str()).await? else {
        let entry =
            operator::audit_entry(key, Action::UserDisable, None).with("email", email.as_str());
        store.append_audit_entry(&entry.with_result(ErrorCode::NotFound.as_str())).await?;
        bail!("no account has the address {email}");
    };
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let entry =
        operator::audit_entry(key, Action::UserDisable, Some(user.id)).with("enabled", false);
    match store.change_user(user.id, &change, &entry).await? {
        UserChangeOutcome::Applied(_) => println!("disabled the account {email}"),
        UserChangeOutcome::LastAdmin => {
            store.append_audit_entry(&entry.with_result(ErrorCode::LastAdmin.as_str())).await?;
            bail!("{email} is the last admin; give another account the admin role first")
        }
        other => bail!("cannot disable the account: {other:?}"),
    }
    Ok(())
}
