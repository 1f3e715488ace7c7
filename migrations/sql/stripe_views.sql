-- Schema `stripe`: a view of the mirror for each type of object, and one for each list inside an object, with typed columns.
-- Every `postroom migrate` makes it so. A view only ever gets columns at its end, so whatever depends on one stays as it is.
--
-- A row: a view, the type of object, the list inside it (of whose items the view is then), and the columns beyond those that
-- each view has. A column is a name, with a kind unless it is text: `id` of an object that may be there in full, `int`, `num`,
-- `bool`, `time` or `json`. What is absent is null. So is what is of another kind, for rows of two API versions stand side
-- by side, but that a text column has its JSON. What is encrypted at rest is null, too (`sealed`): no key comes into the
-- database.
do $$
declare
    -- What Stripe says must not get into the hands of others is not shown to reports.
    secrets constant text := '{auth_code,client_secret,confirmation_secret,secret}';
    each record;
    command text;
    digest text;
begin
    for each in
        with described (name, type, list, columns) as (values
-- generated: views
('account', 'account', null, '
    business_profile:json business_type capabilities:json charges_enabled:bool company:json controller:json country
    created:time default_currency details_submitted:bool email external_accounts:json future_requirements:json
    groups:json individual:json metadata:json payouts_enabled:bool requirements:json settings:json tos_acceptance:json
    type'),
('apple_pay_domain', 'apple_pay_domain', null, '
    created:time domain_name'),
('application', 'application', null, '
    name'),
('application_fee', 'application_fee', null, '
    account:id amount:int amount_refunded:int application:id balance_transaction:id charge:id created:time currency
    fee_source:json originating_transaction:id refunded:bool refunds:json'),
('application_fee_refunds', 'application_fee', 'refunds', '
    amount:int balance_transaction:id created:time currency fee:id metadata:json'),
('apps_install', 'apps.install', null, '
    account app approval_required:bool auth_code channel content_security_policy_granted:json
    content_security_policy_pending:json created:time created_by endpoints_granted:json endpoints_pending:json
    permissions_granted:json permissions_pending:json status'),
('balance', 'balance', null, '
    available:json connect_reserved:json instant_available:json issuing:json pending:json
    refund_and_dispute_prefunding:json'),
('balance_settings', 'balance_settings', null, '
    payments:json'),
('balance_transaction', 'balance_transaction', null, '
    amount:int available_on:time balance_type created:time currency description exchange_rate:num fee:int
    fee_details:json net:int reporting_category source:id status type'),
('bank_account', 'bank_account', null, '
    account:id account_holder_name account_holder_type account_type available_payout_methods:json bank_name country
    currency customer:id default_for_currency:bool fingerprint future_requirements:json last4 metadata:json
    requirements:json routing_number status'),
('billing_alert', 'billing.alert', null, '
    alert_type status title usage_threshold:json'),
('billing_alert_triggered', 'billing.alert_triggered', null, '
    alert:json created:time customer value:int'),
('billing_credit_balance_transaction', 'billing.credit_balance_transaction', null, '
    created:time credit:json credit_grant:id debit:json effective_at:time test_clock:id type'),
('billing_credit_grant', 'billing.credit_grant', null, '
    amount:json applicability_config:json category created:time customer:id customer_account effective_at:time
    expires_at:time metadata:json name priority:int test_clock:id updated:time voided_at:time'),
('billing_feedback_option', 'billing.feedback_option', null, '
    description status status_transitions:json'),
('billing_meter', 'billing.meter', null, '
    created:time customer_mapping:json default_aggregation:json display_name event_name event_time_window status
    status_transitions:json updated:time value_settings:json'),
('billing_portal_configuration', 'billing_portal.configuration', null, '
    active:bool application:id business_profile:json created:time default_return_url features:json is_default:bool
    login_page:json metadata:json name updated:time'),
('billing_portal_session', 'billing_portal.session', null, '
    after_expiration:json configuration:id created:time customer customer_account flow:json locale on_behalf_of
    return_url url'),
('capability', 'capability', null, '
    account:id future_requirements:json requested:bool requested_at:time requirements:json status'),
('card', 'card', null, '
    account:id address_city address_country address_line1 address_line1_check address_line2 address_state address_zip
    address_zip_check allow_redisplay available_payout_methods:json brand country currency customer:id cvc_check
    default_for_currency:bool description dynamic_last4 exp_month:int exp_year:int fingerprint funding iin issuer last4
    metadata:json name networks:json regulated_status status tokenization_method'),
('cash_balance', 'cash_balance', null, '
    available:json customer customer_account settings:json'),
('charge', 'charge', null, '
    amount:int amount_captured:int amount_refunded:int application:id application_fee:id application_fee_amount:int
    authorization_code balance_transaction:id billing_details:json calculated_statement_descriptor captured:bool
    created:time currency customer:id description disputed:bool failure_balance_transaction:id failure_code
    failure_message fraud_details:json level3:json metadata:json on_behalf_of:id outcome:json paid:bool payment_intent:id
    payment_method payment_method_details:json presentment_details:json radar_options:json receipt_email receipt_number
    receipt_url refunded:bool refunds:json review:id shipping:json source:json source_transfer:id statement_descriptor
    statement_descriptor_suffix status transfer:id transfer_data:json transfer_group'),
('charge_refunds', 'charge', 'refunds', '
    amount:int balance_transaction:id charge:id created:time currency customer:id customer_account description
    destination_details:json failure_balance_transaction:id failure_reason instructions_email metadata:json
    next_action:json payment_intent:id payment_method:id pending_reason presentment_details:json reason receipt_number
    source_transfer_reversal:id status transfer_reversal:id'),
('checkout_session', 'checkout.session', null, '
    adaptive_pricing:json after_expiration:json allow_promotion_codes:bool allowed_payment_method_types:json
    amount_subtotal:int amount_total:int automatic_tax:json billing_address_collection branding_settings:json cancel_url
    client_reference_id collected_information:json consent:json consent_collection:json created:time currency
    currency_conversion:json custom_fields:json custom_text:json customer:id customer_account customer_creation
    customer_details:json customer_email discounts:json excluded_payment_method_types:json expires_at:time
    integration_identifier invoice:id invoice_creation:json line_items:json locale managed_payments:json metadata:json
    mode name_collection:json optional_items:json origin_context payment_intent:id payment_link:id
    payment_method_collection payment_method_configuration_details:json payment_method_options:json
    payment_method_types:json payment_status permissions:json phone_number_collection:json presentment_details:json
    recovered_from redirect_on_completion return_url saved_payment_method_options:json setup_intent:id
    shipping_address_collection:json shipping_cost:json shipping_options:json status submit_type subscription:id
    success_url tax_id_collection:json total_details:json ui_mode url wallet_options:json'),
('checkout_session_line_items', 'checkout.session', 'line_items', '
    adjustable_quantity:json amount_discount:int amount_subtotal:int amount_tax:int amount_total:int currency description
    discounts:json metadata:json price:json quantity:int taxes:json'),
('climate_order', 'climate.order', null, '
    amount_fees:int amount_subtotal:int amount_total:int beneficiary:json canceled_at:time cancellation_reason
    certificate confirmed_at:time created:time currency delayed_at:time delivered_at:time delivery_details:json
    expected_delivery_year:int metadata:json metric_tons:num product:id product_substituted_at:time status'),
('climate_product', 'climate.product', null, '
    created:time current_prices_per_metric_ton:json delivery_year:int metric_tons_available:num name suppliers:json'),
('climate_supplier', 'climate.supplier', null, '
    info_url locations:json name removal_pathway'),
('confirmation_token', 'confirmation_token', null, '
    created:time expires_at:time mandate_data:json metadata:json payment_intent payment_method_options:json
    payment_method_preview:json return_url setup_future_usage setup_intent shipping:json use_stripe_sdk:bool'),
('country_spec', 'country_spec', null, '
    default_currency supported_bank_account_currencies:json supported_payment_currencies:json
    supported_payment_methods:json supported_transfer_countries:json verification_fields:json'),
('coupon', 'coupon', null, '
    amount_off:int applies_to:json created:time currency currency_options:json duration duration_in_months:int
    max_redemptions:int metadata:json name percent_off:num redeem_by:time times_redeemed:int valid:bool'),
('credit_note', 'credit_note', null, '
    amount:int amount_shipping:int created:time currency customer:id customer_account customer_balance_transaction:id
    discount_amount:int discount_amounts:json effective_at:time invoice:id lines:json memo metadata:json number
    out_of_band_amount:int pdf post_payment_amount:int pre_payment_amount:int pretax_credit_amounts:json reason
    refunds:json shipping_cost:json status subtotal:int subtotal_excluding_tax:int total:int total_excluding_tax:int
    total_taxes:json type voided_at:time'),
('credit_note_lines', 'credit_note', 'lines', '
    amount:int description discount_amount:int discount_amounts:json invoice_line_item metadata:json
    pretax_credit_amounts:json quantity:int tax_rates:json taxes:json type unit_amount:int unit_amount_decimal:num'),
('customer', 'customer', null, '
    address:json balance:int business_name cash_balance:json created:time currency customer_account default_source:id
    delinquent:bool description discount:json email individual_name invoice_credit_balance:json invoice_prefix
    invoice_settings:json metadata:json name next_invoice_sequence:int phone preferred_locales:json shipping:json
    sources:json subscriptions:json tax:json tax_exempt tax_ids:json test_clock:id'),
('customer_subscriptions', 'customer', 'subscriptions', '
    application:id application_fee_percent:num automatic_tax:json billing_cycle_anchor:time
    billing_cycle_anchor_config:json billing_mode:json billing_schedules:json billing_thresholds:json cancel_at:time
    cancel_at_period_end:bool canceled_at:time cancellation_details:json collection_method created:time currency
    customer:id customer_account days_until_due:int default_payment_method:id default_source:id default_tax_rates:json
    description discounts:json ended_at:time invoice_settings:json items:json latest_invoice:id managed_payments:json
    metadata:json next_pending_invoice_item_invoice:time on_behalf_of:id pause_collection:json payment_settings:json
    pending_invoice_item_interval:json pending_setup_intent:id pending_update:json presentment_details:json schedule:id
    start_date:time status status_details:json test_clock:id transfer_data:json trial_end:time trial_settings:json
    trial_start:time'),
('customer_tax_ids', 'customer', 'tax_ids', '
    country created:time customer:id customer_account owner:json type value verification:json'),
('customer_balance_transaction', 'customer_balance_transaction', null, '
    amount:int checkout_session:id created:time credit_note:id currency customer:id customer_account description
    ending_balance:int invoice:id metadata:json type'),
('customer_cash_balance_transaction', 'customer_cash_balance_transaction', null, '
    adjusted_for_overdraft:json applied_to_payment:json created:time currency customer:id customer_account
    ending_balance:int funded:json net_amount:int refunded_from_payment:json transferred_to_balance:json type
    unapplied_from_payment:json'),
('discount', 'discount', null, '
    checkout_session customer:id customer_account end:time invoice invoice_item promotion_code:id source:json start:time
    subscription subscription_item'),
('dispute', 'dispute', null, '
    amount:int balance_transactions:json charge:id created:time currency enhanced_eligibility_types:json evidence:json
    evidence_details:json intended_submission_method is_charge_refundable:bool metadata:json network_reason_code
    payment_intent:id payment_method_details:json reason status'),
('entitlements_active_entitlement', 'entitlements.active_entitlement', null, '
    feature:id lookup_key'),
('entitlements_active_entitlement_summary', 'entitlements.active_entitlement_summary', null, '
    customer entitlements:json'),
('entitlements_active_entitlement_summary_entitlements', 'entitlements.active_entitlement_summary', 'entitlements', '
    feature:id lookup_key'),
('entitlements_feature', 'entitlements.feature', null, '
    active:bool lookup_key metadata:json name'),
('exchange_rate', 'exchange_rate', null, '
    rates:json'),
('fee_refund', 'fee_refund', null, '
    amount:int balance_transaction:id created:time currency fee:id metadata:json'),
('file', 'file', null, '
    created:time expires_at:time filename links:json purpose size:int title type url'),
('file_links', 'file', 'links', '
    created:time expired:bool expires_at:time file:id metadata:json url'),
('file_link', 'file_link', null, '
    created:time expired:bool expires_at:time file:id metadata:json url'),
('file_upload', 'file_upload', null, '
    created:time expires_at:time filename links:json purpose size:int title type url'),
('file_upload_links', 'file_upload', 'links', '
    created:time expired:bool expires_at:time file:id metadata:json url'),
('financial_connections_account', 'financial_connections.account', null, '
    account_holder:json account_numbers:json balance:json balance_refresh:json category created:time display_name
    institution_name last4 ownership:id ownership_refresh:json permissions:json status status_details:json subcategory
    subscriptions:json supported_payment_method_types:json transaction_refresh:json'),
('financial_connections_authorization', 'financial_connections.authorization', null, '
    institution_name status status_details:json'),
('financial_connections_session', 'financial_connections.session', null, '
    account_holder:json accounts:json bank_account_token:json filters:json limits:json manual_entry:json permissions:json
    prefetch:json return_url'),
('financial_connections_session_accounts', 'financial_connections.session', 'accounts', '
    account_holder:json account_numbers:json balance:json balance_refresh:json category created:time display_name
    institution_name last4 ownership:id ownership_refresh:json permissions:json status status_details:json subcategory
    subscriptions:json supported_payment_method_types:json transaction_refresh:json'),
('financial_connections_transaction', 'financial_connections.transaction', null, '
    account amount:int currency description status status_transitions:json transacted_at:time transaction_refresh
    updated:time'),
('forwarding_request', 'forwarding.request', null, '
    created:time metadata:json payment_method replacements:json request_context:json request_details:json
    response_details:json url'),
('identity_verification_report', 'identity.verification_report', null, '
    client_reference_id created:time document:json email:json id_number:json options:json phone:json selfie:json type
    verification_flow verification_session'),
('identity_verification_session', 'identity.verification_session', null, '
    client_reference_id created:time last_error:json last_verification_report:id metadata:json options:json
    provided_details:json redaction:json related_customer related_customer_account related_person:json status type url
    verification_flow verified_outputs:json'),
('invoice', 'invoice', null, '
    account_country account_name account_tax_ids:json amount_due:int amount_overpaid:int amount_paid:int
    amount_paid_off_stripe:int amount_remaining:int amount_shipping:int application:id attempt_count:int attempted:bool
    auto_advance:bool automatic_tax:json automatically_finalizes_at:time billing_reason collection_method created:time
    currency custom_fields:json customer:id customer_account customer_address:json customer_email customer_name
    customer_phone customer_shipping:json customer_tax_exempt customer_tax_ids:json default_payment_method:id
    default_source:id default_tax_rates:json description discounts:json due_date:time effective_at:time
    ending_balance:int footer from_invoice:json hosted_invoice_url invoice_pdf issuer:json last_finalization_error:json
    latest_revision:id lines:json metadata:json next_payment_attempt:time number on_behalf_of:id parent:json
    payment_settings:json payments:json period_end:time period_start:time post_payment_credit_notes_amount:int
    pre_payment_credit_notes_amount:int receipt_number rendering:json shipping_cost:json shipping_details:json
    starting_balance:int statement_descriptor status status_details:json status_transitions:json subtotal:int
    subtotal_excluding_tax:int test_clock:id threshold_reason:json total:int total_discount_amounts:json
    total_excluding_tax:int total_pretax_credit_amounts:json total_taxes:json webhooks_delivered_at:time'),
('invoice_lines', 'invoice', 'lines', '
    amount:int currency description discount_amounts:json discountable:bool discounts:json invoice metadata:json
    parent:json period:json pretax_credit_amounts:json pricing:json quantity:int quantity_decimal:num subscription:id
    subtotal:int taxes:json'),
('invoice_payments', 'invoice', 'payments', '
    amount_paid:int amount_requested:int created:time currency invoice:id is_default:bool payment:json status
    status_transitions:json'),
('invoice_payment', 'invoice_payment', null, '
    amount_paid:int amount_requested:int created:time currency invoice:id is_default:bool payment:json status
    status_transitions:json'),
('invoice_rendering_template', 'invoice_rendering_template', null, '
    created:time metadata:json nickname status version:int'),
('invoiceitem', 'invoiceitem', null, '
    amount:int currency customer:id customer_account date:time description discountable:bool discounts:json
    frozen_fields:json invoice:id invoicing_rules:json metadata:json net_amount:int parent:json period:json pricing:json
    proration:bool proration_details:json quantity:int quantity_decimal:num tax_rates:json test_clock:id'),
('issuing_authorization', 'issuing.authorization', null, '
    amount:int amount_details:json approved:bool authorization_method balance_transactions:json card:json card_presence
    cardholder:id created:time currency fleet:json fraud_challenges:json fuel:json merchant_amount:int merchant_currency
    merchant_data:json metadata:json network_data:json pending_request:json request_history:json status token:id
    transactions:json treasury:json verification_data:json verified_by_fraud_challenge:bool wallet'),
('issuing_card', 'issuing.card', null, '
    brand cancellation_reason cardholder:json created:time currency cvc exp_month:int exp_year:int financial_account
    last4 latest_fraud_warning:json lifecycle_controls:json metadata:json number personalization_design:id replaced_by:id
    replacement_for:id replacement_reason second_line shipping:json spending_controls:json status type wallets:json'),
('issuing_cardholder', 'issuing.cardholder', null, '
    billing:json company:json created:time email individual:json metadata:json name phone_number preferred_locales:json
    requirements:json spending_controls:json status type'),
('issuing_dispute', 'issuing.dispute', null, '
    amount:int balance_transactions:json created:time currency evidence:json loss_reason metadata:json status
    transaction:id treasury:json'),
('issuing_personalization_design', 'issuing.personalization_design', null, '
    card_logo:id carrier_text:json created:time lookup_key metadata:json name physical_bundle:id preferences:json
    rejection_reasons:json status'),
('issuing_physical_bundle', 'issuing.physical_bundle', null, '
    features:json name status type'),
('issuing_token', 'issuing.token', null, '
    card:id created:time device_fingerprint last4 network network_data:json network_updated_at:time status
    wallet_provider'),
('issuing_transaction', 'issuing.transaction', null, '
    amount:int amount_details:json authorization:id balance_transaction:id card:id cardholder:id created:time currency
    dispute:id merchant_amount:int merchant_currency merchant_data:json metadata:json network_data:json
    purchase_details:json token:id treasury:json type wallet'),
('mandate', 'mandate', null, '
    customer_acceptance:json multi_use:json on_behalf_of payment_method:id payment_method_details:json single_use:json
    status type'),
('payment_attempt_record', 'payment_attempt_record', null, '
    amount:json amount_authorized:json amount_canceled:json amount_failed:json amount_guaranteed:json
    amount_refunded:json amount_requested:json application created:time customer_details:json customer_presence
    description metadata:json payment_method_details:json payment_record processor_details:json reported_by
    shipping_details:json'),
('payment_intent', 'payment_intent', null, '
    allowed_payment_method_types:json amount:int amount_capturable:int amount_details:json amount_received:int
    application:id application_fee_amount:int automatic_payment_methods:json canceled_at:time cancellation_reason
    capture_method confirmation_method created:time currency customer:id customer_account description
    excluded_payment_method_types:json hooks:json last_payment_error:json latest_charge:id managed_payments:json
    metadata:json next_action:json on_behalf_of:id payment_details:json payment_method:id
    payment_method_configuration_details:json payment_method_options:json payment_method_types:json payment_record:id
    presentment_details:json processing:json receipt_email review:id setup_future_usage shipping:json source:id
    statement_descriptor statement_descriptor_suffix status transfer_data:json transfer_group'),
('payment_link', 'payment_link', null, '
    active:bool after_completion:json allow_promotion_codes:bool application:id application_fee_amount:int
    application_fee_percent:num automatic_tax:json billing_address_collection consent_collection:json currency
    custom_fields:json custom_text:json customer_creation inactive_message invoice_creation:json line_items:json
    managed_payments:json metadata:json name_collection:json on_behalf_of:id optional_items:json payment_intent_data:json
    payment_method_collection payment_method_options:json payment_method_types:json phone_number_collection:json
    restrictions:json shipping_address_collection:json shipping_options:json submit_type subscription_data:json
    tax_id_collection:json transfer_data:json url'),
('payment_link_line_items', 'payment_link', 'line_items', '
    adjustable_quantity:json amount_discount:int amount_subtotal:int amount_tax:int amount_total:int currency description
    discounts:json metadata:json price:json quantity:int taxes:json'),
('payment_method', 'payment_method', null, '
    acss_debit:json affirm:json afterpay_clearpay:json alipay:json allow_redisplay alma:json amazon_pay:json
    au_becs_debit:json bacs_debit:json bancontact:json billie:json billing_details:json bizum:json blik:json boleto:json
    card:json card_present:json cashapp:json created:time crypto:json custom:json customer:id customer_account
    customer_balance:json eps:json fpx:json giropay:json grabpay:json ideal:json interac_present:json kakao_pay:json
    klarna:json konbini:json kr_card:json link:json mb_way:json metadata:json mobilepay:json multibanco:json
    naver_pay:json nz_bank_account:json oxxo:json p24:json pay_by_bank:json payco:json paynow:json paypal:json
    paypay:json payto:json pix:json promptpay:json radar_options:json revolut_pay:json samsung_pay:json satispay:json
    scalapay:json sepa_debit:json sequra:json sofort:json sunbit:json swish:json twint:json type upi:json
    us_bank_account:json wechat_pay:json zip:json'),
('payment_method_configuration', 'payment_method_configuration', null, '
    acss_debit:json active:bool affirm:json afterpay_clearpay:json alipay:json alma:json amazon_pay:json apple_pay:json
    application au_becs_debit:json bacs_debit:json bancontact:json billie:json bizum:json blik:json boleto:json card:json
    cartes_bancaires:json cashapp:json crypto:json customer_balance:json eps:json fpx:json giropay:json google_pay:json
    grabpay:json ideal:json is_default:bool jcb:json kakao_pay:json klarna:json konbini:json kr_card:json link:json
    mb_way:json mobilepay:json multibanco:json name naver_pay:json nz_bank_account:json oxxo:json p24:json parent
    pay_by_bank:json payco:json paynow:json paypal:json paypay:json payto:json pix:json promptpay:json revolut_pay:json
    samsung_pay:json satispay:json scalapay:json sepa_debit:json sequra:json sofort:json sunbit:json swish:json
    twint:json upi:json us_bank_account:json wechat_pay:json zip:json'),
('payment_method_domain', 'payment_method_domain', null, '
    amazon_pay:json apple_pay:json created:time domain_name enabled:bool google_pay:json klarna:json link:json
    paypal:json'),
('payment_record', 'payment_record', null, '
    amount:json amount_authorized:json amount_canceled:json amount_failed:json amount_guaranteed:json
    amount_refunded:json amount_requested:json application created:time customer_details:json customer_presence
    description latest_payment_attempt_record metadata:json payment_method_details:json processor_details:json
    reported_by shipping_details:json'),
('payout', 'payout', null, '
    amount:int application_fee:id application_fee_amount:int arrival_date:time automatic:bool balance_transaction:id
    created:time currency description destination:id failure_balance_transaction:id failure_code failure_message
    metadata:json method original_payout:id payout_method reconciliation_status reversed_by:id source_type
    statement_descriptor status trace_id:json type'),
('person', 'person', null, '
    account additional_tos_acceptances:json address:json address_kana:json address_kanji:json created:time dob:json email
    first_name first_name_kana first_name_kanji full_name_aliases:json future_requirements:json gender
    id_number_provided:bool id_number_secondary_provided:bool last_name last_name_kana last_name_kanji maiden_name
    metadata:json nationality phone political_exposure registered_address:json relationship:json requirements:json
    ssn_last_4_provided:bool us_cfpb_data:json verification:json'),
('plan', 'plan', null, '
    active:bool amount:int amount_decimal:num billing_scheme created:time currency interval interval_count:int
    metadata:json meter nickname product:id tiers:json tiers_mode transform_usage:json trial_period_days:int usage_type'),
('price', 'price', null, '
    active:bool billing_scheme created:time currency currency_options:json custom_unit_amount:json lookup_key
    metadata:json nickname product:id recurring:json tax_behavior tiers:json tiers_mode transform_quantity:json type
    unit_amount:int unit_amount_decimal:num'),
('product', 'product', null, '
    active:bool created:time default_price:id description images:json marketing_features:json metadata:json name
    package_dimensions:json shippable:bool statement_descriptor tax_code:id tax_details:json type unit_label updated:time
    url'),
('product_catalog_trial_offer', 'product_catalog.trial_offer', null, '
    active:bool duration:json end_behavior:json nickname price:id'),
('promotion_code', 'promotion_code', null, '
    active:bool code created:time customer:id customer_account expires_at:time max_redemptions:int metadata:json
    promotion:json restrictions:json times_redeemed:int'),
('quote', 'quote', null, '
    amount_subtotal:int amount_total:int application:id application_fee_amount:int application_fee_percent:num
    automatic_tax:json collection_method computed:json created:time currency customer:id customer_account
    default_tax_rates:json description discounts:json expires_at:time footer from_quote:json header invoice:id
    invoice_settings:json line_items:json metadata:json number on_behalf_of:id status status_transitions:json
    subscription:id subscription_data:json subscription_schedule:id test_clock:id total_details:json transfer_data:json'),
('quote_line_items', 'quote', 'line_items', '
    adjustable_quantity:json amount_discount:int amount_subtotal:int amount_tax:int amount_total:int currency description
    discounts:json metadata:json price:json quantity:int taxes:json'),
('radar_early_fraud_warning', 'radar.early_fraud_warning', null, '
    actionable:bool charge:id created:time fraud_type payment_intent:id'),
('radar_value_list', 'radar.value_list', null, '
    alias created:time created_by item_type list_items:json metadata:json name'),
('radar_value_list_list_items', 'radar.value_list', 'list_items', '
    created:time created_by value value_list'),
('radar_value_list_item', 'radar.value_list_item', null, '
    created:time created_by value value_list'),
('refund', 'refund', null, '
    amount:int balance_transaction:id charge:id created:time currency customer:id customer_account description
    destination_details:json failure_balance_transaction:id failure_reason instructions_email metadata:json
    next_action:json payment_intent:id payment_method:id pending_reason presentment_details:json reason receipt_number
    source_transfer_reversal:id status transfer_reversal:id'),
('reporting_report_run', 'reporting.report_run', null, '
    created:time error parameters:json report_type result:json status succeeded_at:time'),
('reporting_report_type', 'reporting.report_type', null, '
    data_available_end:time data_available_start:time default_columns:json name updated:time version:int'),
('reserve_hold', 'reserve.hold', null, '
    amount:int amount_releasable:int created:time created_by currency destination is_releasable:bool metadata:json reason
    release_details:json release_schedule:json reserve_plan:id source_charge:id source_type'),
('reserve_plan', 'reserve.plan', null, '
    created:time created_by currency destination disabled_at:time fixed_release:json manual_release:json metadata:json
    percent:int rolling_release:json status type'),
('reserve_release', 'reserve.release', null, '
    amount:int created:time created_by currency destination metadata:json reason released_at:time reserve_hold:id
    reserve_plan:id source_transaction:json'),
('review', 'review', null, '
    billing_zip charge:id closed_reason created:time ip_address ip_address_location:json open:bool opened_reason
    payment_intent:id reason session:json'),
('scheduled_query_run', 'scheduled_query_run', null, '
    created:time data_load_time:time error:json file:json result_available_until:time sql status title'),
('setup_intent', 'setup_intent', null, '
    allowed_payment_method_types:json application:id attach_to_self:bool automatic_payment_methods:json
    cancellation_reason created:time customer:id customer_account description excluded_payment_method_types:json
    flow_directions:json last_setup_error:json latest_attempt:id managed_payments:json mandate:id metadata:json
    next_action:json on_behalf_of:id payment_method:id payment_method_configuration_details:json
    payment_method_options:json payment_method_types:json single_use_mandate:id status usage'),
('shipping_rate', 'shipping_rate', null, '
    active:bool created:time delivery_estimate:json display_name fixed_amount:json metadata:json tax_behavior tax_code:id
    type'),
('source', 'source', null, '
    ach_credit_transfer:json ach_debit:json acss_debit:json alipay:json allow_redisplay amount:int au_becs_debit:json
    bancontact:json card:json card_present:json code_verification:json created:time currency customer eps:json flow
    giropay:json ideal:json klarna:json metadata:json multibanco:json owner:json p24:json receiver:json redirect:json
    sepa_credit_transfer:json sepa_debit:json sofort:json source_order:json statement_descriptor status
    three_d_secure:json type usage wechat:json'),
('source_transaction', 'source_transaction', null, '
    ach_credit_transfer:json amount:int chf_credit_transfer:json created:time currency gbp_credit_transfer:json
    paper_check:json sepa_credit_transfer:json source status type'),
('subscription', 'subscription', null, '
    application:id application_fee_percent:num automatic_tax:json billing_cycle_anchor:time
    billing_cycle_anchor_config:json billing_mode:json billing_schedules:json billing_thresholds:json cancel_at:time
    cancel_at_period_end:bool canceled_at:time cancellation_details:json collection_method created:time currency
    customer:id customer_account days_until_due:int default_payment_method:id default_source:id default_tax_rates:json
    description discounts:json ended_at:time invoice_settings:json items:json latest_invoice:id managed_payments:json
    metadata:json next_pending_invoice_item_invoice:time on_behalf_of:id pause_collection:json payment_settings:json
    pending_invoice_item_interval:json pending_setup_intent:id pending_update:json presentment_details:json schedule:id
    start_date:time status status_details:json test_clock:id transfer_data:json trial_end:time trial_settings:json
    trial_start:time'),
('subscription_items', 'subscription', 'items', '
    billed_until:time billing_thresholds:json created:time current_period_end:time current_period_start:time
    current_trial:json discounts:json metadata:json plan:json price:json quantity:int subscription tax_rates:json'),
('subscription_item', 'subscription_item', null, '
    billed_until:time billing_thresholds:json created:time current_period_end:time current_period_start:time
    current_trial:json discounts:json metadata:json plan:json price:json quantity:int subscription tax_rates:json'),
('subscription_schedule', 'subscription_schedule', null, '
    application:id billing_mode:json canceled_at:time completed_at:time created:time current_phase:json customer:id
    customer_account default_settings:json end_behavior metadata:json pause_schedules:json phases:json released_at:time
    released_subscription status subscription:id test_clock:id'),
('tax_calculation', 'tax.calculation', null, '
    amount_total:int currency customer customer_details:json expires_at:time line_items:json ship_from_details:json
    shipping_cost:json tax_amount_exclusive:int tax_amount_inclusive:int tax_breakdown:json tax_date:time'),
('tax_calculation_line_items', 'tax.calculation', 'line_items', '
    amount:int amount_tax:int metadata:json performance_location product quantity:int reference tax_behavior
    tax_breakdown:json tax_code'),
('tax_location', 'tax.location', null, '
    address:json description type'),
('tax_registration', 'tax.registration', null, '
    active_from:time country country_options:json created:time expires_at:time status'),
('tax_settings', 'tax.settings', null, '
    defaults:json head_office:json status status_details:json'),
('tax_transaction', 'tax.transaction', null, '
    created:time currency customer customer_details:json line_items:json metadata:json posted_at:time reference
    reversal:json ship_from_details:json shipping_cost:json tax_date:time type'),
('tax_transaction_line_items', 'tax.transaction', 'line_items', '
    amount:int amount_tax:int metadata:json product quantity:int reference reversal:json tax_behavior tax_code type'),
('tax_code', 'tax_code', null, '
    description name requirements:json'),
('tax_id', 'tax_id', null, '
    country created:time customer:id customer_account owner:json type value verification:json'),
('tax_rate', 'tax_rate', null, '
    active:bool country created:time description display_name effective_percentage:num flat_amount:json inclusive:bool
    jurisdiction jurisdiction_level metadata:json percentage:num rate_type state tax_type'),
('terminal_configuration', 'terminal.configuration', null, '
    bbpos_wisepad3:json bbpos_wisepos_e:json cellular:json is_account_default:bool name offline:json reader_security:json
    reboot_window:json stripe_s700:json stripe_s710:json stripe_t600:json tipping:json verifone_m425:json
    verifone_p400:json verifone_p630:json verifone_ux700:json verifone_v660p:json wifi:json'),
('terminal_location', 'terminal.location', null, '
    address:json address_kana:json address_kanji:json configuration_overrides display_name display_name_kana
    display_name_kanji metadata:json phone'),
('terminal_reader', 'terminal.reader', null, '
    action:json device_sw_version device_type ip_address label last_seen_at:time location:id metadata:json serial_number
    status'),
('test_helpers_test_clock', 'test_helpers.test_clock', null, '
    created:time deletes_after:time frozen_time:time name status status_details:json'),
('three_d_secure_authentication', 'three_d_secure.authentication', null, '
    acquirer_details:json amount:int challenge_url channel:json created:time currency directory_server fingerprinting_url
    flow_preference:json future_usage:json message_category metadata:json outcome outcome_details:json payment_method:id
    reason shipping_address:json status'),
('token', 'token', null, '
    bank_account:json card:json client_ip created:time type used:bool'),
('topup', 'topup', null, '
    amount:int balance_transaction:id created:time currency description expected_availability_date:time failure_code
    failure_message initiated_by metadata:json payment_method:id payment_method_options:json source:json
    statement_descriptor status transfer_group'),
('transfer', 'transfer', null, '
    amount:int amount_reversed:int balance_transaction:id created:time currency description destination:id
    destination_payment:id metadata:json reversals:json reversed:bool source_transaction:id source_type transfer_group'),
('transfer_reversals', 'transfer', 'reversals', '
    amount:int balance_transaction:id created:time currency destination_payment_refund:id metadata:json source_refund:id
    transfer:id'),
('transfer_reversal', 'transfer_reversal', null, '
    amount:int balance_transaction:id created:time currency destination_payment_refund:id metadata:json source_refund:id
    transfer:id'),
('treasury_credit_reversal', 'treasury.credit_reversal', null, '
    amount:int created:time currency financial_account hosted_regulatory_receipt_url metadata:json network
    received_credit status status_transitions:json transaction:id'),
('treasury_debit_reversal', 'treasury.debit_reversal', null, '
    amount:int created:time currency financial_account hosted_regulatory_receipt_url linked_flows:json metadata:json
    network received_debit status status_transitions:json transaction:id'),
('treasury_financial_account', 'treasury.financial_account', null, '
    active_features:json balance:json country created:time features:json financial_addresses:json is_default:bool
    metadata:json nickname pending_features:json platform_restrictions:json restricted_features:json status
    status_details:json supported_currencies:json'),
('treasury_inbound_transfer', 'treasury.inbound_transfer', null, '
    amount:int cancelable:bool created:time currency description failure_details:json financial_account
    hosted_regulatory_receipt_url linked_flows:json metadata:json origin_payment_method
    origin_payment_method_details:json returned:bool statement_descriptor status status_transitions:json transaction:id'),
('treasury_outbound_payment', 'treasury.outbound_payment', null, '
    amount:int cancelable:bool created:time currency customer description destination_payment_method
    destination_payment_method_details:json end_user_details:json expected_arrival_date:time financial_account
    hosted_regulatory_receipt_url metadata:json returned_details:json statement_descriptor status status_transitions:json
    tracking_details:json transaction:id'),
('treasury_outbound_transfer', 'treasury.outbound_transfer', null, '
    amount:int cancelable:bool created:time currency description destination_payment_method
    destination_payment_method_details:json expected_arrival_date:time financial_account hosted_regulatory_receipt_url
    metadata:json returned_details:json statement_descriptor status status_transitions:json tracking_details:json
    transaction:id'),
('treasury_received_credit', 'treasury.received_credit', null, '
    amount:int created:time currency description failure_code financial_account hosted_regulatory_receipt_url
    initiating_payment_method_details:json linked_flows:json network reversal_details:json status transaction:id'),
('treasury_received_debit', 'treasury.received_debit', null, '
    amount:int created:time currency description failure_code financial_account hosted_regulatory_receipt_url
    initiating_payment_method_details:json linked_flows:json network reversal_details:json status transaction:id'),
('treasury_transaction', 'treasury.transaction', null, '
    amount:int balance_impact:json created:time currency description entries:json financial_account flow
    flow_details:json flow_type status status_transitions:json'),
('treasury_transaction_entries', 'treasury.transaction', 'entries', '
    balance_impact:json created:time currency effective_at:time financial_account flow flow_details:json flow_type
    transaction:id type'),
('treasury_transaction_entry', 'treasury.transaction_entry', null, '
    balance_impact:json created:time currency effective_at:time financial_account flow flow_details:json flow_type
    transaction:id type'),
('v2_billing_meter_event_adjustment', 'v2.billing.meter_event_adjustment', null, '
    cancel:json created:time event_name status type'),
('v2_billing_meter_event_session', 'v2.billing.meter_event_session', null, '
    authentication_token created:time expires_at:time'),
('v2_commerce_product_catalog_import', 'v2.commerce.product_catalog_import', null, '
    created:time feed_type metadata:json mode status status_details:json'),
('v2_core_account', 'v2.core.account', null, '
    applied_configurations:json closed:bool configuration:json contact_email contact_phone created:time dashboard
    defaults:json display_name future_requirements:json identity:json metadata:json requirements:json'),
('v2_core_account_person', 'v2.core.account_person', null, '
    account additional_addresses:json additional_names:json additional_terms_of_service:json address:json created:time
    date_of_birth:json documents:json email given_name id_numbers:json legal_gender metadata:json nationalities:json
    phone political_exposure relationship:json script_addresses:json script_names:json surname updated:time'),
('v2_core_account_person_token', 'v2.core.account_person_token', null, '
    created:time expires_at:time used:bool'),
('v2_core_account_token', 'v2.core.account_token', null, '
    created:time expires_at:time used:bool'),
('v2_core_vault_gb_bank_account', 'v2.core.vault.gb_bank_account', null, '
    archived:bool bank_account_type bank_name created:time last4 restricted:bool sort_code supported_currencies:json'),
('v2_core_vault_us_bank_account', 'v2.core.vault.us_bank_account', null, '
    archived:bool bank_account_type bank_name created:time fedwire_routing_number financial_connections_account last4
    restricted:bool routing_number supported_currencies:json verification:json'),
('v2_money_management_adjustment', 'v2.money_management.adjustment', null, '
    adjusted_flow:json amount:json created:time description financial_account'),
('v2_money_management_financial_account', 'v2.money_management.financial_account', null, '
    balance:json country created:time display_name metadata:json other:json status storage:json type'),
('v2_money_management_financial_address', 'v2.money_management.financial_address', null, '
    bank_account:json created:time financial_account settlement_currency status type'),
('v2_money_management_inbound_transfer', 'v2.money_management.inbound_transfer', null, '
    amount:json created:time description from_:json to:json transfer_history:json'),
('v2_money_management_outbound_payment', 'v2.money_management.outbound_payment', null, '
    amount:json cancelable:bool created:time description expected_arrival_date:time from_:json metadata:json
    payout_intent recipient_notification:json recipient_verification statement_descriptor status status_details:json
    status_transitions:json to:json tracking_details:json'),
('v2_money_management_outbound_setup_intent', 'v2.money_management.outbound_setup_intent', null, '
    created:time payout_method:json status usage_intent'),
('v2_money_management_payout_intent', 'v2.money_management.payout_intent', null, '
    amount:json confirmation_method created:time description estimated_fees:json from_:json fx_quote:json
    latest_payout:json metadata:json next_action:json recipient_notification:json recipient_verification:json
    schedule_options:json statement_descriptor status status_transitions:json to:json'),
('v2_money_management_payout_method', 'v2.money_management.payout_method', null, '
    archived:bool bank_account:json card:json created:time latest_outbound_setup_intent restricted:bool type
    usage_status:json'),
('v2_money_management_received_credit', 'v2.money_management.received_credit', null, '
    amount:json amount_received:json balance_transfer:json bank_transfer:json created:time description financial_account
    status status_details:json status_transitions:json type'),
('v2_money_management_recipient_verification', 'v2.money_management.recipient_verification', null, '
    consumed_by:json created:time expires_at:time match_result match_result_details:json payout_method recipient status
    status_transitions:json verification_type'),
('v2_money_management_transaction', 'v2.money_management.transaction', null, '
    amount:json balance_impact:json category counterparty:json created:time description financial_account flow:json
    metadata:json regulatory_receipt:json status status_transitions:json'),
('v2_money_management_transaction_entry', 'v2.money_management.transaction_entry', null, '
    balance_impact:json created:time effective_at:time transaction transaction_details:json')
-- end of views
        ), template (kind, expression) as (values
            ('text', $t$d ->> %1$L$t$),
            ('id',   $t$case jsonb_typeof(d -> %1$L) when 'object' then d #>> array[%1$L, 'id'] else d ->> %1$L end$t$),
            ('int',  $t$case when d ->> %1$L ~ '^-?[0-9]{1,18}$' then (d ->> %1$L)::bigint end$t$),
            ('num',  $t$case when d ->> %1$L ~ '^-?[0-9]{1,100}(\.[0-9]{1,100})?$' then (d ->> %1$L)::numeric end$t$),
            ('bool', $t$case d ->> %1$L when 'true' then true when 'false' then false end$t$),
            ('json', $t$nullif(d -> %1$L, 'null')$t$),
            -- Seconds, or what v2 has, within the years that clients know. The day is added to its month's first, for there is no
            -- 30th of February.
            ('time', $t$case when d ->> %1$L ~ '^([0-9]{1,11}|-[0-9]{1,10})$' then to_timestamp((d ->> %1$L)::double precision)
                when d ->> %1$L ~ '^[1-8][0-9]{3}-(0[1-9]|1[0-2])-[0-3][0-9]T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,9})?Z$'
                then (make_date(left(d ->> %1$L, 4)::int, substr(d ->> %1$L, 6, 2)::int, 1) + substr(d ->> %1$L, 9, 2)::int - 1
                    + rtrim(substr(d ->> %1$L, 12), 'Z')::time) at time zone 'UTC' end$t$)
        )
        select v.name, v.type, v.list, c.text as columns
        from described v
        cross join lateral (
            select string_agg(format(E',\n    ' || t.expression || ' as %2$I', split_part(token, ':', 1),
                case split_part(token, ':', 1) when 'account' then 'account_id' else split_part(token, ':', 1) end), '' order by n) as text
            from regexp_split_to_table(btrim(v.columns, E' \n'), '\s+') with ordinality c (token, n)
            join template t on t.kind = coalesce(nullif(split_part(token, ':', 2), ''), 'text')
            where token <> ''
        ) c
    loop
        if each.list is null then
            command := format($v$create or replace view stripe.%1$I as
select o.account, o.object_id as id, coalesce(o.livemode, d ->> 'livemode' = 'true') as livemode, o.deleted, o.as_of, o.api_version,
    d ? '$' as sealed, case when not d ? '$' then d - %4$L::text[] end as raw%2$s
from postroom.stripe_object o cross join lateral (select o.data) as data (d)
where o.type = %3$L$v$, each.name, each.columns, each.type, secrets);
        else
            command := format($v$create or replace view stripe.%1$I as
select o.account, o.object_id as %5$I, i.position, d ->> 'id' as id, coalesce(o.livemode, o.data ->> 'livemode' = 'true') as livemode,
    o.deleted, o.as_of, case jsonb_typeof(d) when 'object' then d - %4$L::text[] else d end as raw%2$s
from postroom.stripe_object o cross join lateral jsonb_array_elements(
    case jsonb_typeof(o.data #> array[%6$L, 'data']) when 'array' then o.data #> array[%6$L, 'data'] else '[]' end)
    with ordinality as i (d, position)
where o.type = %3$L$v$, each.name, each.columns, each.type, secrets, replace(each.type, '.', '_') || '_id', each.list);
        end if;
        -- Only what differs: to replace a view waits for whoever reads it.
        digest := md5(command);
        if coalesce(obj_description(to_regclass(format('stripe.%I', each.name)), 'pg_class'), '') not like '%' || digest then
            execute command;
            execute format('comment on view stripe.%I is %L', each.name, format('Generated: %s of Stripe, as the mirror has it; %s',
                coalesce('items of ' || each.list || ' in each ' || each.type, 'each ' || each.type), digest));
        end if;
    end loop;
end
$$;
