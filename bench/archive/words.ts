/** What made-up leads are put together from. */
const words = (text: string) => text.trim().split(/\s+/);

export const firstNames = words(`
  Anna Michael Maria Thomas Sophie David Laura Andreas Julia Peter Elena Daniel Sarah Martin Lisa James Emma Robert
  Olivia John Isabella William Charlotte Lucas Amelia Liam Mia Noah Hannah Felix Clara Jonas Leonie Paul Marie Antoine
  Camille Pierre Chloé Mathieu Giulia Marco Francesca Alessandro Chiara Lorenzo Carmen Javier Lucía Pablo Sofía Diego
  Inês João Beatriz Rui Ingrid Lars Astrid Erik Freja Mikkel Aino Juha Katarzyna Piotr Agnieszka Tomasz Zuzana Jan
  Eszter Gábor Ioana Andrei Dimitra Yannis Ayşe Mehmet Fatima Omar Layla Youssef Priya Arjun Ananya Rahul Mei Wei Yuki
  Haruto Jiho Minseo Thandiwe Kwame Amara Chidi Nia Tariq Valentina Mateo Renata Thiago Larissa Gustavo Harper Ethan
  Brigitte Wolfgang Heike Jürgen Ulrike Stefan Monika Bernd Sabine Uwe Petra Frank Silke Ralf Anja Dirk`);

export const lastNames = words(`
  Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Koch Richter Klein Wolf Neumann Schwarz
  Zimmermann Braun Krüger Hartmann Lange Werner Krause Lehmann Köhler Maier Huber Kaiser Fuchs Vogel Keller Frank Berger
  Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Wilson Anderson Taylor Moore
  Jackson Thompson White Harris Clark Lewis Robinson Walker Young Allen King Wright Scott Hill Green Adams Baker Nelson
  Martin Bernard Dubois Durand Leroy Moreau Simon Laurent Lefebvre Michel Fournier Girard Bonnet Lambert Rousseau
  Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti Mancini Costa Giordano
  González Fernández Sánchez Pérez Gómez Díaz Moreno Álvarez Romero Navarro Torres Domínguez Vázquez Ramos Serrano
  Silva Santos Ferreira Pereira Oliveira Sousa Almeida Carvalho Teixeira Novák Svoboda Dvořák Horváth Nagy Kovács
  Kowalski Nowak Wiśniewski Wójcik Kamiński Lewandowski Popescu Ionescu Papadopoulos Yılmaz Demir Kaya Jansen Visser
  Johansson Lindberg Nilsson Eriksson Hansen Larsen Jensen Nielsen Korhonen Virtanen Patel Sharma Gupta Singh Reddy
  Wang Chen Zhang Liu Yang Tanaka Suzuki Watanabe Kim Park Choi Nguyen Tran Okafor Mensah Abdullah Haddad Cohen Levy`);

export const seniorities = words(`
  Head Director VP SVP Manager Lead Chief Principal Senior Junior Associate Deputy Regional Global Group Interim`);

export const functions = words(`
  Sales Marketing Procurement Engineering Finance Operations Logistics IT Product Growth Partnerships HR Legal Security
  Data Quality Compliance Controlling Research Innovation Strategy Communications Service Production Purchasing`);

export const syllables = words(`
  al ber cor dan el far gen hal in jo kal lum mar nor os pax quin ral sol tek ul vex wil xan yor zen bri cla dro flo
  gra hel kri lan mon pra sta tri ver wes`);

export const forms = words(
  `GmbH AG Ltd Inc SE SA SAS BV AB Oy ASA LLC KG plc SpA SL Group Holding Labs Partners`,
);

export const suffixes = words(`com de fr it es nl se io co.uk ch at eu pl com.br net`);

export const sources = words(
  `linkedin fair-hannover webinar referral import apollo clay website newsletter cold-call`,
);

export const technologies = words(`
  Salesforce HubSpot SAP-S/4HANA Shopify Magento WordPress React Angular Kubernetes AWS Azure GCP Snowflake Databricks
  Segment Marketo Pardot Zendesk Intercom Stripe Adyen Klaviyo Contentful Akeneo Netsuite Workday Okta Cloudflare
  Datadog Jira Figma Tableau PowerBI Looker Postgres MongoDB Kafka Terraform Jenkins GitLab`);

export const prose = words(`
  the company announced new plant in Poland and expects revenue growth of its logistics division after acquisition by
  investor customers across Europe rely on software for planning maintenance energy transport supply chains hospitals
  retailers suppliers management wants to reduce costs hire engineers open offices move systems into cloud replace legacy
  platform partners with leading provider machine learning automation warehouse robots sensors sustainable packaging
  carbon targets regulation audit quarter results profit margin stable despite weaker demand China United States market
  share competitor launched product line subscription pricing contract renewal budget approved board decision tender
  public funding startup series round founders former employees university research patents medical devices battery
  hydrogen solar wind grid mobility fleet electric vehicles charging stations insurance banking payments fraud security
  identity data protection compliance certification export order backlog shipping delays inventory prices raw materials
  steel chemicals paper textiles food beverages agriculture water building construction housing tourism airlines rail`);
